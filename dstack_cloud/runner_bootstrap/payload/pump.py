"""Copies the job's output to the log, in a process of its own: a job outlives its runner, and its output mustn't be lost or
wait meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dstack_cloud.runner_bootstrap.payload.processes import look

# The engine's frames: 8 bytes of header (stream, 0, 0, 0, size), then the bytes. To the end in any case, for a container whose
# output nobody takes stands still. Exit code 1: the log couldn't be written to its end. What was read already comes as hex.
DEMULTIPLEX = """\
import os, sys
early, status = bytes.fromhex(sys.argv[1]), 0
def take(most):
    global early
    data, early = (early[:most], early[most:]) if early else (os.read(0, most), b"")
    if not data:
        sys.exit(status)
    return data
while True:
    header = b""
    while len(header) < 8:
        header += take(8 - len(header))
    left = int.from_bytes(header[4:], "big")
    while left:
        data = take(min(left, 65536))
        left -= len(data)
        while data and not status:
            try:
                data = data[os.write(1, data):]
            except OSError:
                status = 1
"""
# where secrets are to be masked; the place is that of this package: a folder, or the zip that the runner is
MASKED = "import sys; sys.path.insert(0, sys.argv.pop()); from {package}.writer import main; sys.exit(main())"
PACKAGE = __name__.rpartition(".")[0]
PLACE = str(Path(__file__).absolute().parents[len(PACKAGE.split("."))])
Kind = Literal["plain", "framed"]


class Pump:
    """`failed`, once it has ended: the log lacks its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.failed = False

    @staticmethod
    def start(kind: Kind, source: int, log: int, *, early: bytes = b"", secrets: Sequence[str] = ()) -> Pump:
        """From one descriptor to the other; the caller closes both of its own. `framed`: as the engine sends it, `early` what has
        been read of it already. The values of `secrets` are masked."""
        if secrets:
            return Pump(_start_masked(kind, source, log, json.dumps({"values": list(secrets), "early": early.hex()})))
        framed = [sys.executable, "-I", "-S", "-c", DEMULTIPLEX, early.hex(), "dstack-output"]
        return Pump(_spawn(framed if kind == "framed" else ["cat"], source, log))

    def ended(self, seconds: float) -> bool:
        """Whether it has, waiting for at most so long. Polls, for after a restart it is nobody's child here."""
        deadline = time.monotonic() + seconds
        while self._lives():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)
        return True

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _lives(self) -> bool:
        try:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            seen = look(self.pid)
            return seen is not None and not seen.zombie
        self.failed = self.failed or status != 0
        return ended == 0


def _start_masked(kind: Kind, source: int, log: int, told: str) -> int:
    reader, writer = os.pipe()
    program = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        MASKED.format(package=PACKAGE),
        kind,
        str(reader),
        "dstack-output",
        PLACE,
    ]
    try:
        pid = _spawn(program, source, log, reader)
    finally:
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(told.encode())
    return pid


def _spawn(command: list[str], source: int, log: int, *inherited: int) -> int:
    made = subprocess.Popen(
        command, stdin=source, stdout=log, stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=inherited
    )
    made.returncode = 0  # waited for elsewhere, perhaps by another runner: Popen is not to warn of it
    return made.pid

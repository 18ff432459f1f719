"""Copies the job's output to the log, in a process of its own: a job outlives its runner, and its output mustn't be lost or
wait meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

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
PLAIN = ["cat"]


def framed(early: bytes = b"") -> list[str]:
    """The command that takes the engine's frames; `early` are those that have been read already."""
    return [sys.executable, "-I", "-S", "-c", DEMULTIPLEX, early.hex(), "dstack-output"]


class Pump:
    """`failed`, once it has ended: the log lacks its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.failed = False

    @staticmethod
    def start(command: list[str], source: int, log: int) -> Pump:
        """From one descriptor to the other; the caller closes both of its own."""
        made = subprocess.Popen(command, stdin=source, stdout=log, stderr=subprocess.DEVNULL, start_new_session=True)
        made.returncode = 0  # waited for below, perhaps by another runner: Popen is not to warn of it
        return Pump(made.pid)

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

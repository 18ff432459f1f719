"""A throw-away machine from its first SSH answer to its end: `.venv/bin/python -m bench.sandbox`.

The machine is watched from outside, through the Docker engine's events and its port 22; the product isn't asked.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.harness import Figure, Place, place, show
from bench.terminal import Session, attach

ROUNDS = 5
LIMIT_SECONDS = 60.0
WORKFLOWS = """
workflows:
  - name: hi
    provider: bash
    commands:
      - echo hi-there
      # so long that who watches sees all that lies before it
      - sleep 1
      - date +'ended at %s.%N'
"""


@dataclass
class Machine:
    """When what happened to it, in seconds since the epoch; 0: not yet."""

    started_at: float = 0.0
    ssh_at: float = 0.0
    installed_at: float = 0.0
    terminated_at: float = 0.0


class Watch:
    """Sees the one machine that comes and goes while it looks."""

    def __init__(self, home: Path) -> None:
        self.machine = Machine()
        self._home = home
        form = "{{.TimeNano}} {{.Action}} {{.ID}}"
        command = ["docker", "events", "--filter", "label=dstack.owner", "--filter", "type=container", "--format", form]
        self._events = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._events.stdout
        for line in self._events.stdout:
            at, action, identity = line.split(maxsplit=2)
            if action == "start":
                self.machine.started_at = int(at) / 1e9
                for look in (self._look_for_ssh, self._look_for_runner):
                    threading.Thread(target=look, args=(identity.strip(),), daemon=True).start()
            elif action in ("kill", "stop") and not self.machine.terminated_at:
                self.machine.terminated_at = int(at) / 1e9

    def _look_for_ssh(self, identity: str) -> None:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = subprocess.check_output(["docker", "inspect", "--format", form, identity], text=True).strip()
        deadline = time.time() + LIMIT_SECONDS
        while not self.machine.ssh_at and time.time() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    self.machine.ssh_at = time.time()
            time.sleep(0.005)

    def _look_for_runner(self, _identity: str) -> None:
        """The server marks a machine on which it has installed the runner."""
        deadline = time.time() + LIMIT_SECONDS
        while not self.machine.installed_at and time.time() < deadline:
            for mark in self._home.glob("*/*/installed"):
                with contextlib.suppress(FileNotFoundError):
                    at = mark.stat().st_mtime
                    # an earlier machine's may still be there
                    self.machine.installed_at = at if at > self.machine.started_at else 0.0
            time.sleep(0.01)

    def close(self) -> Machine:
        deadline = time.time() + LIMIT_SECONDS
        while not self.machine.terminated_at and time.time() < deadline:
            time.sleep(0.01)
        self._events.terminate()
        self._events.wait()
        return self.machine


@dataclass(frozen=True)
class Round:
    """Seconds of one run."""

    boot: float
    first_line: float
    installing: float
    terminate: float


def measure(here: Place) -> Round:
    watch = Watch(here.home)
    session = attach(here, ["run", "hi", "--backend", "sandbox"])
    machine = watch.close()
    if session.exit_code or not all(vars(machine).values()):
        raise SystemExit(f"{machine}\n" + "\n".join(line.text for line in session.lines))
    return Round(
        boot=machine.ssh_at - machine.started_at,
        first_line=session.started_at + session.first("hi-there") - machine.ssh_at,
        installing=machine.installed_at - login(here.home),
        terminate=machine.terminated_at - ended(session),
    )


def login(home: Path) -> float:
    """When the server last got in, by its log; seconds since the epoch."""
    lines = re.findall(r"^(\S+ \S+) .*Authentication \(publickey\) successful", (home / "server.log").read_text(), re.M)
    return datetime.strptime(lines[-1], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def ended(session: Session) -> float:
    (at,) = [match[1] for line in session.lines if (match := re.search(r"ended at ([\d.]+)", line.text))]
    return float(at)


def main() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        print("no Docker engine answers: nothing is measured")
        return
    with place(WORKFLOWS) as here:
        measure(here)
        rounds = [measure(here) for _ in range(ROUNDS)]
    middle = {name: statistics.median(getattr(each, name) for each in rounds) for name in vars(rounds[0])}
    note = f"the machine's start until SSH answers: {middle['boot']:.2f} s"
    show(
        [
            Figure("sandbox: SSH answers → first log line", middle["first_line"], 3.0, "s", note),
            Figure("of which: login → runner installed", middle["installing"], 1.0, "s"),
            Figure("sandbox: job exit → terminate", middle["terminate"], 1.0, "s"),
        ]
    )


if __name__ == "__main__":
    main()

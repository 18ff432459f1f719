"""A real runner: the zipapp as a program of its own, driven through the link."""

from __future__ import annotations

import http.client
import io
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dstack_cloud.runner_bootstrap.bundle import bundle
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, RunnerState

PATIENCE = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


class Rig:
    """One folder, and the runner that serves it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "job"
        self.socket = base / "s"
        self.program = base / "runner.pyz"
        self.program.write_bytes(bundle())
        self.python = sys.executable
        self.env: dict[str, str] | None = None
        self.user: int | None = None
        self.groups: list[int] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.link = RunnerLink(self.dial)

    def start(self, *options: str) -> Rig:
        self.process = self.spawn(*options)
        until(self.answers, "the runner's socket")
        return self

    def spawn(self, *options: str) -> subprocess.Popen[bytes]:
        arguments = ["serve", "--folder", str(self.folder), "--socket", str(self.socket), *options]
        return subprocess.Popen(
            [self.python, str(self.program), *arguments], env=self.env, stderr=subprocess.PIPE,
            cwd=self.base, user=self.user, group=self.user, extra_groups=self.groups,
        )  # fmt: skip

    def dial(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.socket))
        return connection

    def answers(self) -> bool:
        try:
            self.link.state()
        except LinkError:
            return False
        return True

    def get(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        """The whole answer, past the link. Raises http.client.IncompleteRead where it breaks off."""
        connection = http.client.HTTPConnection("runner")
        connection.sock = self.dial()
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read()

    def submit(self, *commands: str, mode: str = "process", **fields: object) -> None:
        self.link.submit(
            {"attempt": "a-1", "mode": mode, "run_name": "shady-1", "commands": list(commands), "grace": 5, **fields}
        )

    def wait(self, phase: str) -> RunnerState:
        deadline = time.monotonic() + PATIENCE
        state = self.link.state()
        while state.phase != phase:
            assert time.monotonic() < deadline, f"waited in vain for {phase}: {state}"
            state = self.link.state(state.seq, 5)
        return state

    def run(self, *commands: str, mode: str = "process", **fields: object) -> RunnerState:
        self.submit(*commands, mode=mode, **fields)
        return self.wait("uploading")

    def log(self) -> bytes:
        return b"".join(self.link.log())

    def wait_log(self, text: bytes) -> None:
        """Follows until it is there, or the log is complete."""
        seen = b""
        for chunk in self.link.log(0, follow=True):
            seen += chunk
            if text in seen:
                return
        raise AssertionError(f"the log ended without {text!r}: {seen!r}; {self.link.state()}")

    def output(self, name: str = "artifacts") -> dict[str, tarfile.TarInfo]:
        """The members of one output by name."""
        data = b"".join(self.link.output(name))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {member.name: member for member in archive.getmembers()}

    def crash(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """SIGTERM, as a backend that takes the machine back, or SIGUSR1, as one that shuts down; the exit code."""
        self.link.close()
        self.link = RunnerLink(self.dial)
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        sys.stderr.write(errors.decode(errors="replace"))
        return process.returncode


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def alive(pid: int) -> bool:
    """Zombies don't count."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]

"""The tool as a user has it: the real command line, in a folder of its own, with a state folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dstack_cloud.client.client import Client
from dstack_cloud.errors import ServerError

PATIENCE = 60.0
# between two looks, at least: what is waited for needs the processor
PAUSE = 0.02
LONGEST_PAUSE = 1.0

Answered = TypeVar("Answered")


@dataclass
class User:
    """`folder` is the working folder, `home` the DSTACK_HOME."""

    folder: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
        return target

    def workflows(self, text: str) -> None:
        self.write(".dstack/workflows.yaml", text)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DSTACK_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "120", **self.env}

    def start(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dstack_cloud", *args]
        # unbuffered, so that `communicate` finds all that `readline` left
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **{**pipes, **options})

    def __call__(self, *args: str, code: int | None = 0, timeout: float = 120.0) -> Answer:
        process = self.start(*args)
        out, err = process.communicate(timeout=timeout)
        answer = Answer(process.returncode, out, err.decode(errors="replace"))
        if code is not None:
            assert answer.code == code, f"dstack {' '.join(args)}: exit {answer.code}\n{answer.text}\n{answer.err}"
        return answer

    def runs(self) -> list[dict[str, Any]]:
        """What `ps -a --json` prints."""
        found: Any = self._asked(lambda client: client.runs(everything=True))
        return list(json.loads(self("ps", "-a", "--json").out) if found is None else found)

    def run(self, name: str) -> dict[str, Any]:
        return next(run for run in self.runs() if run["name"] == name)

    def submit(self, *args: str) -> str:
        """Detached; the run's name."""
        return self("run", *args, "-d").text.strip().splitlines()[-1]

    def wait(self, name: str, *statuses: str) -> dict[str, Any]:
        return until(lambda: (run := self.run(name))["status"] in (statuses or FINISHED) and run)

    def wait_for_log(self, name: str, text: str) -> None:
        until(lambda: text in self._log(name))

    def _log(self, name: str) -> str:
        """What `logs` prints."""
        found = self._asked(lambda client: b"".join(client.logs(name)))
        return self("logs", name).text if found is None else found.decode(errors="replace")

    def _asked(self, question: Callable[[Client], Answered]) -> Answered | None:
        """The server's own answer, for what is looked at often: a command is a process each time. None: none is up, or it ends just now,
        and a command would start another."""
        client = Client(self.home, autostart=False)
        try:
            return question(client) if client.server_is_up() else None
        except ServerError:
            return None

    def server_pid(self) -> int:
        return int(json.loads((self.home / "server.json").read_text())["pid"])

    def kill_server(self) -> None:
        os.kill(self.server_pid(), signal.SIGKILL)


FINISHED = ("done", "failed", "stopped", "aborted")


@dataclass
class Answer:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What `condition` gives as soon as it is true."""
    deadline = time.monotonic() + patience
    while (began := time.monotonic()) < deadline:
        value = condition()
        if value:
            return value
        # a look that is a program of its own takes a processor, and there are two
        time.sleep(min(max(time.monotonic() - began, PAUSE), LONGEST_PAUSE))
    raise AssertionError("it didn't come true in time")


def read_until(process: subprocess.Popen[bytes], line: bytes, patience: float = PATIENCE) -> None:
    """Takes what a command prints up to this line, and is there as soon as it comes."""
    assert process.stdout
    deadline = time.monotonic() + patience
    while (said := process.stdout.readline()) != line:
        assert said, "it ended before"
        assert time.monotonic() < deadline, "it didn't come in time"


def files_with(folder: Path, data: bytes) -> list[Path]:
    """Those that hold it, also where folders are removed while they are searched."""
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return [path for path in files if data in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except FileNotFoundError:
        return b""


@contextmanager
def a_new_user() -> Iterator[User]:
    place = Path(tempfile.mkdtemp(prefix="dstack-test-"))
    a_user = User(place / "work", place / "home", {"DSTACK_LOCAL_MODE": "process"})
    a_user.folder.mkdir()
    try:
        yield a_user
    finally:
        leave(a_user)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def user() -> Iterator[User]:
    with a_new_user() as made:
        yield made


@pytest.fixture(scope="module")
def host() -> Iterator[User]:
    with a_new_user() as made:
        yield made


@pytest.fixture
def visitor(host: User) -> User:
    """In a folder of the test's own, at a server that all of the module's visitors share: for tests that start nothing."""
    return replace(host, folder=Path(tempfile.mkdtemp(dir=host.folder)), env=dict(host.env))


def leave(user: User) -> None:
    """Stops what the test left running, and checks that nothing of it is left."""
    if not (user.home / "server.json").exists():
        # no server ever was
        return
    (user.home / "config.yaml").unlink(missing_ok=True)
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: not list((user.home / "runners").glob("*/")) if (user.home / "runners").exists() else True)
    # a machine's keys go when it is gone
    until(lambda: not list((user.home / "keys").glob("*/")) if (user.home / "keys").exists() else True)
    pid = user.server_pid()
    user("server", "stop", code=None)
    until(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"

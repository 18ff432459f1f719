"""The server as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.server.site import SECONDS, UnixConnection, wait_until

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def home() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="server-"))
    yield base / "home"
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(**env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dstack_cloud.server"]
        environment = {**os.environ, "DSTACK_HOME": str(home), "DSTACK_LOCAL_MODE": "process", **env}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answers(home: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(home / "server.sock"))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start: Start, home: Path, number: int) -> None:
    process = start()
    wait_until(lambda: answers(home), "the server")
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert b"ended" in errors
    assert b"Traceback" not in errors
    assert not (home / "server.sock").exists()


def test_it_ends_though_somebody_is_connected(start: Start, home: Path) -> None:
    process = start()
    wait_until(lambda: answers(home), "the server")
    connection = UnixConnection(home / "server.sock")
    connection.request("GET", "/api/server")
    connection.getresponse().read()
    process.terminate()
    assert process.wait(SECONDS) == 0
    connection.close()


def test_its_files_are_its_owners_alone(start: Start, home: Path) -> None:
    process = start()
    wait_until(lambda: answers(home), "the server")
    assert home.stat().st_mode & 0o777 == 0o700
    for name in ("server.sock", "secret.key", "dstack.db", "installation"):
        assert (home / name).stat().st_mode & 0o077 == 0, name
    process.terminate()


def test_a_second_one_for_the_same_folder_leaves_it_to_the_first(start: Start, home: Path) -> None:
    start()
    wait_until(lambda: answers(home), "the server")
    assert start().wait(SECONDS) == 0
    assert answers(home)


def test_it_ends_when_nobody_needs_it(start: Start, home: Path) -> None:
    assert start(DSTACK_SERVER_IDLE="0.1").wait(SECONDS) == 0
    assert not (home / "server.sock").exists()


def test_it_ends_when_its_folder_is_gone(start: Start, home: Path) -> None:
    process = start()
    wait_until(lambda: answers(home), "the server")
    shutil.rmtree(home)
    process.wait(SECONDS)


@pytest.mark.parametrize(
    ("file", "text", "word"),
    [("config.yaml", "projects: [", "isn't YAML"), ("secret.key", "x", "isn't a key")],
)
def test_what_it_cannot_start_with_is_said_in_a_sentence(
    start: Start, home: Path, file: str, text: str, word: str
) -> None:
    home.mkdir()
    (home / file).write_text(text)
    _, errors = (process := start()).communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert word in errors.decode()
    assert b"Traceback" not in errors

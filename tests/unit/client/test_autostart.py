"""Starting the real server, as commands do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.api.locations import server_socket
from dstack_cloud.client import Client
from dstack_cloud.client.autostart import scrubbed, stop
from dstack_cloud.version import __version__
from tests.fakes.unix_http import Reply, Request, reply_json, serving

PATIENCE_SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "state"
    yield place
    if place.is_dir():
        stop(place)


def test_a_server_is_started_and_stopped(home: Path) -> None:
    view = Client(home).server()
    assert (view["version"], view["home"]) == (__version__, str(home))
    assert (home.stat().st_mode & 0o777, server_socket(home).stat().st_mode & 0o777) == (0o700, 0o600)
    assert Client(home).server()["pid"] == view["pid"]
    assert os.getsid(view["pid"]) == view["pid"], "it lives in a session of its own"
    assert stop(home) is True
    assert stop(home) is False


def test_commands_at_the_same_moment_get_one_server(home: Path) -> None:
    program = f"from dstack_cloud.client import Client\nprint(Client(__import__('pathlib').Path({str(home)!r})).server()['pid'])"
    started = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = {process.communicate(timeout=PATIENCE_SECONDS)[0].strip() for process in started}
    assert told == {str(Client(home).server()["pid"])}


def test_after_a_kill_the_next_command_starts_another(home: Path) -> None:
    first = Client(home).server()["pid"]
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert server_socket(home).exists(), "it had no time to remove its socket"
    assert Client(home).server()["pid"] != first


def test_a_socket_that_nobody_made_a_server_of(home: Path) -> None:
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(server_socket(home)))
    assert Client(home).server()["version"] == __version__


def test_a_server_of_another_version_is_replaced(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as old:
        stopped: list[Request] = []

        def answer(request: Request) -> Reply:
            if request.path == "/api/server/stop":
                stopped.append(request)
                server_socket(home).unlink()
                old.kill()
                return Reply(version="0.0.1")
            return reply_json({"pid": old.pid})._replace(version="0.0.1")

        with serving(home, answer):
            assert Client(home).server()["version"] == __version__
    assert len(stopped) == 1


def test_stopping_one_that_another_command_replaces_at_once(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as old:

        def answer(request: Request) -> Reply:
            if request.path == "/api/server/stop":
                old.kill()
            return reply_json({"pid": old.pid})

        with serving(home, answer):  # it goes on answering, as the next one would
            assert stop(home) is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"projects: 7\n", "config.yaml: `projects`: "),
        (b"projects: {main: {store_options: {secret_access_key: x}}}", "looks like a credential"),
        (b"projects:\n  main:\n    stor: file:///x\n", "`projects.main.stor` is an unknown key .did you mean `store`?"),
        (b"projects:\n  main: {\n", "config.yaml:3:1: this isn't YAML: "),
        (b"\xff", "config.yaml can't be read: it isn't UTF-8 text"),
    ],
)
def test_a_configuration_that_is_wrong(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(errors.ConfigurationError, match=says) as raised:
        Client(tmp_path).server()
    assert raised.value.hint


def test_why_it_did_not_start_is_shown(tmp_path: Path) -> None:
    (tmp_path / "server.lock").mkdir()
    with pytest.raises(errors.ServerError, match=r"didn't start: its last words:\n(.*\n)*.*Error: ") as raised:
        Client(tmp_path).server()
    assert str(tmp_path / "server.log") in str(raised.value.hint)


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ServerError, match="can't make the state folder"):
        Client(tmp_path / "file" / "state").server()


def test_the_server_inherits_no_credentials(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PIP_CERT", "/some.pem")
    pid = Client(home).server()["pid"]
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        names = {entry.partition(b"=")[0].decode() for entry in environment.read_bytes().split(b"\0")}
        assert "AWS_SECRET_ACCESS_KEY" not in names
        assert {"PATH", "PIP_CERT", "DSTACK_HOME"} <= names


@pytest.mark.parametrize(
    "name", ["PATH", "LC_ALL", "XDG_RUNTIME_DIR", "DSTACK_X", "https_proxy", "HTTPS_PROXY", "DOCKER_HOST"]
)
def test_what_is_kept(name: str) -> None:
    assert scrubbed({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "GITHUB_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "PYTHONPATH", "LD_PRELOAD"]
)
def test_what_is_not_kept(name: str) -> None:
    assert scrubbed({name: "x"}) == {}


def test_it_ends_when_its_folder_is_gone(home: Path) -> None:
    pid = Client(home).server()["pid"]
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    home.rmdir()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.02)

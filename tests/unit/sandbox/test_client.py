from __future__ import annotations

import http.server
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.errors import Missing, Taken, refusal, unreachable
from dstack_cloud.errors import BackendError, InvalidConfiguration, NoCapacity, Unavailable


@pytest.mark.parametrize(
    ("status", "message", "kind", "retryable"),
    [
        (404, "No such container: x", Missing, False),
        (409, "name is in use", Taken, True),
        (400, "bad parameter", InvalidConfiguration, False),
        (500, "server error", Unavailable, True),
        (500, "write /x: no space left on device", NoCapacity, True),
        (500, "could not find an available, non-overlapping IPv4 address pool among the defaults", NoCapacity, True),
    ],
)
def test_refusals_keep_the_engines_words(status: int, message: str, kind: type, retryable: bool) -> None:
    error = refusal(status, message)
    assert type(error) is kind
    assert (error.retryable, error.cloud_code, error.cloud_message) == (retryable, str(status), message)


@pytest.mark.parametrize(
    ("cause", "hint"), [(PermissionError(13, "denied"), "group"), (FileNotFoundError(2, "none"), "install Docker")]
)
def test_no_engine_says_what_to_do(cause: OSError, hint: str) -> None:
    error = unreachable("/a.sock", cause)
    assert isinstance(error, InvalidConfiguration)
    assert hint in (error.hint or "")


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="no Docker engine answers"):
        DockerClient(str(tmp_path / "none.sock")).get("/version")


def test_an_engine_on_another_computer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(InvalidConfiguration, match="DOCKER_HOST"):
        DockerClient().get("/version")


class Broken(http.server.BaseHTTPRequestHandler):
    """An engine that fails in the middle of what it says."""

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")

    def do_POST(self) -> None:
        lines = b'{"status":"pulling"}\n{"error":"manifest unknown"}\n'
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(lines), lines))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[DockerClient]:
    path = os.path.relpath(tmp_path / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(path, Broken) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield DockerClient(path)
        server.shutdown()


def test_an_answer_that_ends_early_is_no_answer(broken: DockerClient) -> None:
    with pytest.raises(Unavailable, match="broke off"):
        broken.get("/containers/json")


def test_an_error_between_the_lines_of_a_pull_is_raised(broken: DockerClient) -> None:
    lines = broken.progress("/images/create", {"fromImage": "x"})
    assert next(lines) == "pulling"
    with pytest.raises(BackendError, match="manifest unknown"):
        next(lines)


@pytest.mark.docker
def test_the_real_engine_answers() -> None:
    client = DockerClient()
    assert client.get("/version")["ApiVersion"]
    assert client.image("dstack-cloud/there-is-no-such:image") is None
    with pytest.raises(Missing):
        client.get("/containers/dstack-there-is-no-such-container/json")

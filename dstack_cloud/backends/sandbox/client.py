"""The Docker Engine API over its Unix socket: plain requests, streams both ways, errors as backend errors.

Written against the Engine API reference v1.41 (Docker 20.10); newer engines answer it too.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from dstack_cloud.backends.sandbox.errors import Missing, refusal, unreachable
from dstack_cloud.errors import InvalidConfiguration, Unavailable

API = "/v1.41"
ANSWER_SECONDS = 120.0
CHUNK = 1 << 20

Json = Any
# pairs where a name comes more than once
Query = Mapping[str, str] | Sequence[tuple[str, str]]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Body:
    """What a request carries. `data` is bytes, or chunks that are sent as they come."""

    data: bytes | Iterable[bytes]
    type: str


def as_json(value: object) -> Body:
    return Body(json.dumps(value).encode(), "application/json")


def as_tar(data: bytes | Iterable[bytes]) -> Body:
    return Body(data, "application/x-tar")


def tar_file(path: Path) -> Body:
    """A tar on disk, sent in chunks."""

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    return as_tar(chunks())


def engine_socket() -> str:
    """The path of DOCKER_HOST. Raises InvalidConfiguration where that is no Unix socket."""
    host = os.environ.get("DOCKER_HOST", "") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        raise InvalidConfiguration(
            f"DOCKER_HOST is {host}; the sandbox needs an engine on this computer",
            "unset DOCKER_HOST, or set it to unix:///path/to/docker.sock",
        )
    return host.removeprefix("unix://")


class DockerClient:
    """One engine. Every call opens a connection of its own, so threads may share it.

    Raises only BackendErrors: Missing (404), Taken (409), Unavailable, NoCapacity, InvalidConfiguration.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path

    @property
    def path(self) -> str:
        """The engine's socket. Raises InvalidConfiguration where DOCKER_HOST names something else."""
        return self._path or engine_socket()

    def get(self, path: str, query: Query | None = None) -> Json:
        return self.call("GET", path, query)

    def call(self, method: str, path: str, query: Query | None = None, body: Body | None = None) -> Json:
        """The decoded JSON answer, None where there is none."""
        with self._answer(method, path, query, body) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def stream(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """The answer's body in chunks."""
        with self._answer("GET", path, query, None) as answer:
            while chunk := answer.read(CHUNK):
                yield chunk

    def progress(self, path: str, query: Query, body: Body | None = None) -> Iterator[str]:
        """The lines of a pull, build or import. Raises where the engine reports an error in the middle of them."""
        with self._answer("POST", path, query, body, timeout=None) as answer:
            for line in answer:
                event = json.loads(line)
                if "error" in event:
                    raise refusal(400, str(event["error"]))
                if text := str(event.get("stream") or event.get("status") or "").strip():
                    yield text

    def execute(self, container: str, script: str) -> str:
        """The output of a shell script inside, as root. Raises Unavailable where it fails, Taken where nothing runs there."""
        body = {"Cmd": ["/bin/sh", "-c", script], "AttachStdout": True, "AttachStderr": True, "Tty": True}
        made = self.call("POST", f"/containers/{container}/exec", body=as_json(body))["Id"]
        start = as_json({"Detach": False, "Tty": True})
        with self._answer("POST", f"/exec/{made}/start", None, start) as answer:
            said = answer.read().decode(errors="replace")
        code = self.get(f"/exec/{made}/json")["ExitCode"]
        if code:
            raise Unavailable(f"a command in {container} ended with {code}", cloud_message=said.strip())
        return said

    def put_archive(self, container: str, folder: str, tar: bytes) -> None:
        self.call("PUT", f"/containers/{container}/archive", {"path": folder}, as_tar(tar))

    def image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows about an image, None where it has none of that name."""
        try:
            found: dict[str, Any] = self.get(f"/images/{quote(name, safe='')}/json")
        except Missing:
            return None
        return found

    @contextmanager
    def _answer(
        self, method: str, path: str, query: Query | None, body: Body | None, timeout: float | None = ANSWER_SECONDS
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _UnixConnection(self.path, timeout)
        url = f"{API}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._send(connection, method, url, body)
            if answer.status >= 400:
                raise refusal(answer.status, _message(answer.read()))
            yield answer
        except (http.client.HTTPException, ConnectionError, TimeoutError) as cause:
            raise Unavailable(f"the Docker engine at {self.path} broke off: {cause!r}") from cause
        finally:
            connection.close()

    def _send(self, connection: _UnixConnection, method: str, url: str, body: Body | None) -> http.client.HTTPResponse:
        headers = {"Content-Type": body.type} if body else {}
        data = body.data if body else None
        try:
            connection.connect()
        except OSError as cause:
            raise unreachable(self.path, cause) from cause
        try:
            connection.request(method, url, data, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine refused before it had read everything: its answer says why
        try:
            return connection.getresponse()
        except OSError as cause:
            raise Unavailable(f"the Docker engine at {self.path} broke off: {cause}") from cause


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip() or "no reason given"

"""A small client of the Docker Engine's HTTP API over its Unix socket.

The API: https://docs.docker.com/reference/api/engine/version/v1.41/ (paths without a version, so the engine answers with its own).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

CONNECT_SECONDS = 10.0
# an engine with a slow disk may take its time to make or remove a container
ANSWER_SECONDS = 300.0
AGAIN_SECONDS = 0.5
Json = dict[str, Any]
Decoded = Any  # what json.loads gives
Body = Json | list[Any] | bytes | Iterable[bytes] | None


class EngineError(Exception):
    """The engine refused: `status` is its HTTP status (0: none), `message` its own words."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class EngineUnavailable(EngineError):
    """No engine answers on the socket, or this user may not open it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float | None) -> None:
        super().__init__("docker", timeout=CONNECT_SECONDS)
        self.path = path
        self.patience = patience

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
        self.sock.settimeout(self.patience)


def default_socket(environ: Mapping[str, str] | None = None) -> Path:
    """DOCKER_HOST where it is a Unix socket, else the first of the usual places that exists. Raises EngineUnavailable."""
    env = os.environ if environ is None else environ
    host = env.get("DOCKER_HOST", "")
    if host.startswith("unix://"):
        return Path(host.removeprefix("unix://"))
    if host:
        raise EngineUnavailable(f"DOCKER_HOST is {host}: only unix:// sockets are supported")
    usual = [Path("/var/run/docker.sock"), Path.home() / ".docker/run/docker.sock"]
    if env.get("XDG_RUNTIME_DIR"):
        usual.append(Path(env["XDG_RUNTIME_DIR"]) / "docker.sock")
    return next((path for path in usual if path.exists()), usual[0])


class Engine:
    """Every method raises EngineError with the engine's words, EngineUnavailable where there is no engine."""

    def __init__(self, socket_path: Path | None = None) -> None:
        self.socket_path = socket_path

    # -- requests ----------------------------------------------------------------------------------------------------

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> http.client.HTTPResponse:
        """The response with its body unread. `body` is JSON (dict or list), bytes, or an iterable of bytes. `patience`: seconds
        of silence after which the engine counts as gone, None for any."""
        connection = _Connection(str(self.socket_path or default_socket()), patience)
        sent = {"Connection": "close", **(headers or {})}
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        url = quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            connection.request(method, url, body=body, headers=sent, encode_chunked=_is_stream(body))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineUnavailable(f"no Docker engine answers on {connection.path}: {error}") from error
        if response.status >= 400:
            raise EngineError(_message(response.read()), response.status)
        return response

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Body = None,
        patience: float | None = ANSWER_SECONDS,
    ) -> Decoded:
        """The decoded JSON answer, None where the body is empty."""
        try:
            data = self.open(method, path, query, body=body, patience=patience).read()
            return json.loads(data) if data.strip() else None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise EngineUnavailable(f"the Docker engine broke off: {error}") from error

    def stream(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, body: Body = None
    ) -> Iterator[bytes]:
        """The answer's body in chunks of up to 1 MiB."""
        response = self.open(method, path, query, body=body)
        with response:
            while chunk := response.read(2**20):
                yield chunk

    # -- the engine --------------------------------------------------------------------------------------------------

    def available(self, patience: float | None = None) -> bool:
        try:
            return self.open("GET", "/_ping", patience=patience).read() == b"OK"
        except (EngineError, OSError, http.client.HTTPException):
            return False

    def wait_available(self, seconds: float, given_up: threading.Event) -> bool:
        """Whether it answers, waiting for at most so long."""
        deadline = time.monotonic() + seconds
        while not self.available(CONNECT_SECONDS):
            if time.monotonic() >= deadline or given_up.wait(AGAIN_SECONDS):
                return False
        return True

    def version(self) -> str:
        return str(self.call("GET", "/version")["Version"])

    def info(self) -> Json:
        found: Json = self.call("GET", "/info")
        return found

    # -- images ------------------------------------------------------------------------------------------------------

    def image(self, name: str) -> Json | None:
        """What `docker image inspect` shows, None where the engine doesn't have it."""
        try:
            found: Json = self.call("GET", f"/images/{name}/json")
        except EngineUnavailable:
            raise
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        return found

    def image_exists(self, name: str) -> bool:
        return self.image(name) is not None

    def pull(self, name: str, auth: Mapping[str, str] | None = None) -> Iterator[Json]:
        """Progress records until the image is here; closing the iterator breaks it off. `auth`: `username`, `password`."""
        repository, tag = split_image(name)
        headers = {"X-Registry-Auth": registry_auth(repository, auth)} if auth else {}
        query = {"fromImage": repository, "tag": tag}
        response = self.open("POST", "/images/create", query, headers=headers)
        try:
            for line in response:
                record: Json = json.loads(line)
                if "error" in record:
                    raise EngineError(str(record["error"]))
                yield record
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise EngineError(f"the pull of {name} broke off: {error}") from error

    def export_image(self, name: str) -> Iterator[bytes]:
        """A tar as `docker save` makes it."""
        return self.stream("GET", f"/images/{name}/get")

    def remove_image(self, name: str, *, force: bool = True) -> None:
        self._gone_is_fine("DELETE", f"/images/{name}", {"force": str(int(force))})

    def images(self, labels: Mapping[str, str | None]) -> list[Json]:
        """All that carry these labels; a value of None: any."""
        found: list[Json] = self.call("GET", "/images/json", {"filters": _with_labels(labels)})
        return found

    def tag(self, name: str, repository: str, tag: str) -> None:
        self.call("POST", f"/images/{name}/tag", {"repo": repository, "tag": tag})

    def layer_size(self, name: str) -> int:
        """The bytes of an image's last layer: what it adds to the one that it was made of."""
        found: list[Json] = self.call("GET", f"/images/{name}/history")
        return int(found[0]["Size"]) if found else 0

    # -- containers --------------------------------------------------------------------------------------------------

    def create(self, config: Json, name: str | None = None) -> str:
        """The id of the new container."""
        return str(self.call("POST", "/containers/create", {"name": name} if name else None, body=config)["Id"])

    def start(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/start")

    def wait(self, container: str) -> int:
        """Blocks until it has ended; its exit code."""
        answer = self.call("POST", f"/containers/{container}/wait", patience=None)
        if answer is None:
            raise EngineUnavailable("the Docker engine ended while it was waited for")
        return int(answer["StatusCode"])

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Not running, or not there, is no error."""
        self._gone_is_fine("POST", f"/containers/{container}/kill", {"signal": signal}, also=409)

    def inspect(self, container: str) -> Json | None:
        """None where there is no such container."""
        try:
            found: Json = self.call("GET", f"/containers/{container}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        return found

    def containers(self, labels: Mapping[str, str | None]) -> list[Json]:
        """All that carry these labels, running or not; a value of None: any."""
        found: list[Json] = self.call("GET", "/containers/json", {"all": "1", "filters": _with_labels(labels)})
        return found

    def remove(self, container: str) -> None:
        """By force and with its anonymous volumes; gone already is no error."""
        self._gone_is_fine("DELETE", f"/containers/{container}", {"force": "1", "v": "1"}, also=409)

    def put_archive(self, container: str, folder: str, tar: bytes | Iterable[bytes]) -> None:
        """Unpacks a tar into a folder of a container, running or not."""
        headers = {"Content-Type": "application/x-tar"}
        self.open("PUT", f"/containers/{container}/archive", {"path": folder}, body=tar, headers=headers).read()

    def changes(self, container: str) -> list[Json]:
        """What differs from its image: `Path`, and `Kind` (0 modified, 1 added, 2 removed)."""
        return self.call("GET", f"/containers/{container}/changes") or []

    def commit(self, container: str, repository: str, tag: str, config: Json) -> None:
        """Makes an image of what it has changed, with these settings; what they leave out is the container's."""
        query = {"container": container, "repo": repository, "tag": tag}
        self.call("POST", "/commit", query, body=config, patience=None)

    def attach(self, container: str, *, told: bool = False) -> tuple[int, bytes]:
        """The container's stdout and stderr from now on, in frames; attach before `start`, and nothing is missed. `told`: what is
        written to the descriptor is its input.

        (a blocking descriptor that the caller closes; what was read of it already).
        """
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        query = {"stream": "1", "stdout": "1", "stderr": "1", "stdin": str(int(told))}
        response = self.open("POST", f"/containers/{container}/attach", query, headers=headers)
        # http.client takes a 101 for an answer without a body; the bytes are behind it in the same buffered reader
        reader: BufferedReader | None = response.fp
        if reader is None:
            raise EngineUnavailable("the engine gave no stream of the container's output")
        os.set_blocking(reader.fileno(), False)
        early = reader.peek()
        os.set_blocking(reader.fileno(), True)
        taken = os.dup(reader.fileno())
        response.close()
        return taken, early

    def _gone_is_fine(self, method: str, path: str, query: Mapping[str, str], also: int = 404) -> None:
        try:
            self.call(method, path, query)
        except EngineUnavailable:
            raise
        except EngineError as error:
            if error.status not in (404, also):
                raise


def frames(source: int, early: bytes) -> Iterator[tuple[int, bytes]]:
    """(1 for stdout, 2 for stderr; bytes) of what `attach` gives, to its end. Raises EngineError where it breaks off."""
    with os.fdopen(os.dup(source), "rb") as rest:

        def take(size: int) -> bytes:
            nonlocal early
            data, early = early[:size], early[size:]
            return data + rest.read(size - len(data)) if len(data) < size else data

        while header := take(8):
            data = take(int.from_bytes(header[4:], "big"))
            if len(header) < 8 or len(data) < int.from_bytes(header[4:], "big"):
                raise EngineError("the container's output broke off")
            yield header[0], data


def split_image(name: str) -> tuple[str, str]:
    """(repository, tag or digest): without either the tag is `latest`, for an empty one would pull every tag."""
    repository, at, digest = name.partition("@")
    if at:
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def registry_auth(repository: str, auth: Mapping[str, str]) -> str:
    """The X-Registry-Auth header: base64url of JSON; the registry is the first part of a name that looks like a host."""
    first, slash, _ = repository.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    server = first if is_host else "https://index.docker.io/v1/"
    record = {"username": auth["username"], "password": auth["password"], "serveraddress": server}
    return base64.urlsafe_b64encode(json.dumps(record).encode()).decode()


def _with_labels(labels: Mapping[str, str | None]) -> str:
    return json.dumps({"label": [key if value is None else f"{key}={value}" for key, value in labels.items()]})


def _is_stream(body: object) -> bool:
    return body is not None and not isinstance(body, (bytes, str))


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip() or "the engine gave no reason"

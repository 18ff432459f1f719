"""HTTP over the server's Unix socket. A server that isn't there is started; one of another version is replaced, once."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from dstack_cloud.api.locations import server_socket
from dstack_cloud.api.schemas import VERSION_HEADER
from dstack_cloud.errors import ConfigurationError, DstackError, ServerError, by_code
from dstack_cloud.version import __version__

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import ProblemView

Query = Mapping[str, str | int | float | Sequence[str] | None]

ANSWER_SECONDS = 120.0  # for one answer; streams have no limit
UPLOAD_SECONDS = 900.0  # the server stores a snapshot before it answers
_CHUNK = 1 << 16


class FileProblems(ConfigurationError):
    """Workflow files that can't be read: every problem of every file."""

    def __init__(self, summary: str, hint: str | None, problems: list[ProblemView]) -> None:
        super().__init__(summary, hint)
        self.problems = problems


class ConnectionLost(ServerError):
    """The server went away in the middle of an answer."""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(str(self._path))  # blocking: a full backlog waits instead of failing
        except OSError:
            self.sock.close()
            raise
        self.sock.settimeout(self._seconds)


class Transport:
    """`autostart` False: a missing server is a ServerError, and one of another version is spoken to as it is."""

    def __init__(self, home: Path, *, autostart: bool = True) -> None:
        self.home = home
        self._socket = server_socket(home)
        self._autostart = autostart
        self._checked = not autostart

    def call(self, method: str, path: str, body: object = None, query: Query | None = None) -> object:
        """One JSON answer. Raises what the server's ErrorView names, or ServerError."""
        if method != "GET":
            self._check_version()
        payload = None if body is None else json.dumps(body).encode()
        with self._exchange(method, path, payload, query) as response:
            text = _read_all(response)
        return _decode(response.status, text) if text else None

    def exists(self, path: str) -> bool:
        """False also where the server can't tell: an answer to HEAD can't say why, that to the upload which follows can."""
        self._check_version()
        with self._exchange("HEAD", path, None, None, refusal_is_error=False) as response:
            return response.status == 200

    def upload(self, path: str, chunks: Iterable[bytes], query: Query | None = None) -> object:
        """The JSON answer. Whatever `chunks` raises passes through; the server then sees a broken upload and keeps nothing."""
        self._check_version()
        with self._exchange("PUT", path, chunks, query, seconds=UPLOAD_SECONDS) as response:
            text = _read_all(response)
        return _decode(response.status, text)

    @contextmanager
    def stream(self, path: str, query: Query | None = None) -> Iterator[Stream]:
        with self._exchange("GET", path, None, query, seconds=None) as response:
            yield Stream(response)

    def is_up(self) -> bool:
        connection = _UnixConnection(self._socket, ANSWER_SECONDS)
        try:
            connection.connect()
        except OSError:
            return False
        connection.close()
        return True

    def _check_version(self) -> None:
        if not self._checked:
            with self._exchange("GET", "/api/server", None, None) as response:
                _read_all(response)

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        query: Query | None,
        *,
        seconds: float | None = ANSWER_SECONDS,
        refusal_is_error: bool = True,
    ) -> Iterator[HTTPResponse]:
        target = path + (f"?{_encode(query)}" if query else "")
        connection, response = self._send(method, target, body, seconds)
        try:
            if not self._checked and response.headers.get(VERSION_HEADER) != __version__:
                connection.close()
                self._replace(response.headers.get(VERSION_HEADER) or "unknown")
                connection, response = self._send(method, target, body, seconds)
            self._checked = True
            if response.status >= 400 and refusal_is_error:
                raise _refusal(response.status, _read_all(response), self.home)
            yield response
        finally:
            connection.close()

    def _send(
        self, method: str, target: str, body: bytes | Iterable[bytes] | None, seconds: float | None
    ) -> tuple[HTTPConnection, HTTPResponse]:
        connection = self._connect(seconds)
        headers = {VERSION_HEADER: __version__, "connection": "close"}
        if body is not None:
            headers["content-type"] = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        streamed = body is not None and not isinstance(body, bytes)
        if streamed:
            headers["transfer-encoding"] = "chunked"
        try:
            try:
                connection.request(method, target, body, headers, encode_chunked=streamed)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered before it stopped reading
            return connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._lost(error) from error
        except BaseException:
            connection.close()
            raise

    def _connect(self, seconds: float | None) -> HTTPConnection:
        connection = _UnixConnection(self._socket, seconds)
        try:
            connection.connect()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            if not self._autostart:
                raise ServerError("the dstack server isn't running", "any command that needs it starts it") from error
            self._start()
            connection = _UnixConnection(self._socket, seconds)
            connection.connect()
        except OSError as error:
            raise ServerError(
                f"can't reach the dstack server at {self._socket}: {error.strerror or error}",
                "the socket and its folder must belong to you; DSTACK_HOME moves both",
            ) from error
        return connection

    def _start(self) -> None:
        from dstack_cloud.client.autostart import start

        start(self.home)

    def _replace(self, found: str) -> None:
        """Another version's server is asked to end (its runs go on) and ours takes over."""
        from dstack_cloud.client.autostart import stop

        self._checked = True
        stop(self.home)
        self._start()
        with self._exchange("GET", "/api/server", None, None) as response:
            _read_all(response)
            now = response.headers.get(VERSION_HEADER)
        if now != __version__:
            raise ServerError(
                f"the dstack server is version {now or found}, this command is {__version__}",
                "run `dstack server stop` with the version that started it, or use one version for this DSTACK_HOME",
            )

    def _lost(self, error: Exception) -> ServerError:
        if isinstance(error, TimeoutError):
            return ServerError("the dstack server doesn't answer", f"its log is {self.home / 'server.log'}")
        return ConnectionLost(
            "the dstack server broke off the connection",
            f"what was asked may have happened: look with `dstack ps`; its log is {self.home / 'server.log'}",
        )


class Stream:
    """An answer read as it comes. Raises ConnectionLost where it ends before its end."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    def line(self) -> bytes:
        """The next line with its end; empty at the end of the stream."""
        try:
            return self._response.readline()
        except (OSError, HTTPException) as error:
            raise _cut(error) from error

    def some(self, limit: int = _CHUNK) -> bytes:
        """At least one byte, as soon as there is one; empty at the end."""
        try:
            return self._response.read1(limit)
        except (OSError, HTTPException) as error:
            raise _cut(error) from error

    def chunks(self) -> Iterator[bytes]:
        while data := self.some():
            yield data


def _cut(error: Exception) -> ConnectionLost:
    return ConnectionLost("the dstack server broke off its answer", f"ask again ({type(error).__name__})")


def _encode(query: Query) -> str:
    return urlencode({key: value for key, value in query.items() if value is not None}, doseq=True)


def _read_all(response: HTTPResponse) -> bytes:
    try:
        return response.read()
    except (OSError, HTTPException) as error:
        raise _cut(error) from error


def _decode(status: int, text: bytes) -> object:
    try:
        return cast("object", json.loads(text))
    except ValueError as error:
        raise ServerError(
            f"the dstack server gave an answer that isn't JSON (status {status})", "is something else on its socket?"
        ) from error


def _refusal(status: int, text: bytes, home: Path) -> DstackError:
    try:
        view = json.loads(text)
        code, summary, hint = str(view["code"]), str(view["summary"]), view.get("hint")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerError(f"the dstack server failed (status {status})", f"its log is {home / 'server.log'}")
    cls = by_code(code)
    if view.get("problems"):
        return FileProblems(summary, hint, view["problems"])
    if cls is DstackError and status >= 500:
        cls = ServerError
    return cls(summary, hint)

"""The client's side of the runner protocol, over whatever byte stream `dial` opens."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

ANSWER_SECONDS = 30.0
LONGEST_LINE = 2**14
READ_SIZE = 2**18
IDLE_KEPT = 2


class LinkError(Exception):
    """`unreachable`: the connection couldn't be made or broke off, and the same call may succeed later; else the runner
    refused, with the HTTP `status`."""

    def __init__(self, message: str, *, unreachable: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        self.status = status


class Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, limit: int, /) -> bytes: ...


class SocketLike(Protocol):
    """A socket, or a channel of an SSH connection."""

    def makefile(self, mode: Literal["rb"], /) -> Reader: ...
    def sendall(self, data: bytes, /) -> object: ...
    def settimeout(self, seconds: float | None, /) -> object: ...
    def close(self) -> object: ...


@dataclass(frozen=True)
class RunnerState:
    """The protocol's state: times are the machine's clock in seconds, sizes bytes. `notice_at`: when an interruption was
    announced. `setup`: its `key`, and what it `is`: `wanted` from the store, `used` as it was kept, `built` here; whether it `travels`."""

    seq: int
    phase: str
    attempt: str
    message: str
    exit_code: int | None
    reason: str
    log_size: int
    log_complete: bool
    outputs: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    started_at: float | None
    ended_at: float | None
    notice_at: float | None = None
    setup: dict[str, Any] | None = None

    @staticmethod
    def of(raw: dict[str, Any]) -> RunnerState:
        known = {field.name: raw[field.name] for field in fields(RunnerState) if field.name in raw}
        return RunnerState(**{**known, "outputs": tuple(raw["outputs"]), "warnings": tuple(raw["warnings"])})


class Output(Iterator[bytes]):
    """The tar stream of one output. `sync`, once the first chunk is there: the number that the runner gave it (None: none)."""

    def __init__(self, begin: Callable[[Output], Iterator[bytes]]) -> None:
        self.sync: int | None = None
        self._chunks = begin(self)

    def take_number(self, headers: dict[str, str]) -> None:
        number = headers.get("x-sync", "")
        self.sync = int(number) if number.isdigit() else None

    def __next__(self) -> bytes:
        return next(self._chunks)


class RunnerLink:
    """Safe to use from several threads: each call has a connection of its own while it lasts. Every call raises LinkError."""

    def __init__(self, dial: Callable[[], SocketLike]) -> None:
        """`dial` opens a new byte stream to the runner; it may raise OSError, EOFError, or what it likes."""
        self._dial = dial
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._closed = False

    def state(self, after: int = -1, wait: float = 0.0) -> RunnerState:
        """As soon as its `seq` is above `after`, or when `wait` seconds are over (60 at most)."""
        answer = self._ask("GET", f"/v1/state?after={after}&wait={wait}", seconds=wait + ANSWER_SECONDS)
        return RunnerState.of(json.loads(answer))

    def submit(self, job: dict[str, Any]) -> None:
        """Hands over the job; the same attempt again is no error. Refused with status 409 where it has another."""
        self._ask("PUT", "/v1/job", json.dumps(job).encode())

    def put_input(self, name: str, chunks: Iterable[bytes]) -> None:
        """Sends a tar stream; returns once it is unpacked. An exception from `chunks` breaks the stream off: nothing counts."""
        self._upload(f"/v1/inputs/{name}", chunks)

    def put_changes(self, chunks: Iterable[bytes]) -> list[str]:
        """Sends a tar stream of what has changed in the working folder, a member without content and with the record `DSTACK.removed`
        for what is gone. What was left as the job has it. Refused with status 409 where the job doesn't run."""
        return [str(name) for name in json.loads(self._upload("/v1/changes", chunks))["kept"]]

    def log(self, offset: int = 0, follow: bool = False, patience: float | None = None) -> Iterator[bytes]:
        """Raw bytes from `offset`; with `follow` as they come, until the log is complete. After `patience` seconds without
        any it raises an unreachable LinkError: nothing is lost, the caller asks again from where it is."""
        return self._stream(f"/v1/log?offset={offset}&follow={int(follow)}", patience if follow else ANSWER_SECONDS)

    def log_times(self) -> bytes:
        """`<offset> <ms since the epoch>` lines."""
        return self._ask("GET", "/v1/log_times")

    def stop(self, abort: bool = False) -> None:
        self._ask("POST", "/v1/stop", json.dumps({"abort": abort}).encode())

    def output(self, name: str, base: int | None = None) -> Output:
        """The tar stream of one of the state's outputs; of `artifacts` also while the job runs. With `base`, the number of an
        earlier stream, what is unchanged since then has no content (DSTACK.unchanged)."""
        query = "" if base is None else f"?base={base}"
        path = f"/v1/outputs/{name}{query}"
        return Output(lambda output: self._stream(path, ANSWER_SECONDS, output.take_number))

    def collected(self) -> None:
        """Everything has been saved: the runner ends."""
        self._ask("POST", "/v1/collected", b"{}")

    def close(self) -> None:
        """Breaks off what is under way in other threads (they get LinkError) and lets go of every connection."""
        with self._lock:
            self._closed = True
            connections = [*self._idle, *self._busy]
            self._idle.clear()
        for connection in connections:
            connection.close()

    # -- connections -------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: bytes | None = None, *, seconds: float = ANSWER_SECONDS) -> bytes:
        """Every such request may be repeated, so one that meets a connection which died in the pool is."""
        connection, fresh = self._take()
        try:
            status, answer = connection.ask(method, path, body, seconds)
        except LinkError:
            self._drop(connection)
            if fresh or self._closed:
                raise
            return self._ask_fresh(method, path, body, seconds)
        self._give_back(connection)
        return _check(status, answer)

    def _ask_fresh(self, method: str, path: str, body: bytes | None, seconds: float) -> bytes:
        connection = self._connect()
        try:
            status, answer = connection.ask(method, path, body, seconds)
        except LinkError:
            self._drop(connection)
            raise
        self._give_back(connection)
        return _check(status, answer)

    def _upload(self, path: str, chunks: Iterable[bytes]) -> bytes:
        connection = self._connect()
        try:
            status, body = connection.upload(path, chunks)
        finally:
            self._drop(connection)
        return _check(status, body)

    def _stream(
        self, path: str, seconds: float | None, head: Callable[[dict[str, str]], None] = lambda headers: None
    ) -> Iterator[bytes]:
        """`head` is given the answer's headers before the first chunk."""
        connection = self._connect()
        try:
            yield from connection.stream(path, seconds, head)
        finally:
            self._drop(connection)

    def _take(self) -> tuple[_Connection, bool]:
        """(a connection, whether it is new)."""
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
                self._busy.add(connection)
                return connection, False
        return self._connect(), True

    def _connect(self) -> _Connection:
        if self._closed:
            raise LinkError("the link was closed", unreachable=True)
        try:
            connection = _Connection(self._dial())
        except Exception as error:
            raise LinkError(f"the runner can't be reached: {error}", unreachable=True) from error
        with self._lock:
            self._busy.add(connection)
        return connection

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
            keep = connection.reusable and len(self._idle) < IDLE_KEPT and not self._closed
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def _drop(self, connection: _Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()


class _Connection:
    """One byte stream and the little HTTP/1.1 that it needs; http.client asks more of a socket than a channel has."""

    def __init__(self, stream: SocketLike) -> None:
        self._stream = stream
        self._reader = stream.makefile("rb")
        self.reusable = True

    def ask(self, method: str, path: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
        length = f"Content-Length: {len(body or b'')}"
        try:
            self._stream.settimeout(seconds)
            self._stream.sendall(_head(method, path, length) + (body or b""))
            return self._answer()
        except (OSError, EOFError, ValueError) as error:
            raise _broken(error) from error

    def upload(self, path: str, chunks: Iterable[bytes]) -> tuple[int, bytes]:
        try:
            self._stream.settimeout(None)
            self._stream.sendall(_head("PUT", path, "Transfer-Encoding: chunked"))
        except (OSError, EOFError) as error:
            raise _broken(error) from error
        for chunk in chunks:
            if not self._send_chunk(chunk):
                break
        else:
            self._send_chunk(b"", last=True)
        try:
            return self._answer()
        except (OSError, EOFError, ValueError) as error:
            raise _broken(error) from error

    def stream(self, path: str, seconds: float | None, head: Callable[[dict[str, str]], None]) -> Iterator[bytes]:
        try:
            self._stream.settimeout(seconds)
            self._stream.sendall(_head("GET", path, "Content-Length: 0"))
            status, headers = self._read_head()
            if status != 200:
                _check(status, b"".join(self._body(headers)))
            head(headers)
            yield from self._body(headers)
        except (OSError, EOFError, ValueError) as error:
            raise _broken(error) from error

    def close(self) -> None:
        """Also wakes a thread that is reading: closing alone wouldn't."""
        self.reusable = False
        try:
            if hasattr(self._stream, "shutdown"):
                self._stream.shutdown(socket.SHUT_RDWR)
        except (OSError, EOFError):
            pass  # it was broken already
        self._stream.close()

    def _send_chunk(self, chunk: bytes, last: bool = False) -> bool:
        """False where the runner has closed: its refusal can still be read."""
        if not chunk and not last:
            return True
        try:
            self._stream.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        except (OSError, EOFError):
            return False
        return True

    def _answer(self) -> tuple[int, bytes]:
        status, headers = self._read_head()
        if headers.get("connection") == "close":
            self.reusable = False
        return status, b"".join(self._body(headers))

    def _read_head(self) -> tuple[int, dict[str, str]]:
        first = self._line().split(" ", 2)
        if len(first) < 2 or not first[0].startswith("HTTP/1.") or not first[1].isdigit():
            raise EOFError("what answers is no runner")
        headers = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip().lower()
        return int(first[1]), headers

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        """Raises EOFError where it ends early."""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self._line().split(";")[0], 16):
                yield from self._exactly(size)
                self._line()
            self._line()
        else:
            yield from self._exactly(int(headers.get("content-length", "0")))

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._reader.read(min(size, READ_SIZE))
            if not data:
                raise EOFError("the runner's answer ended early")
            size -= len(data)
            yield data

    def _line(self) -> str:
        line = self._reader.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise EOFError("the runner's answer ended early")
        return line.decode("latin-1").strip()


def _head(method: str, path: str, length: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: runner\r\n{length}\r\n\r\n".encode()


def _broken(error: Exception) -> LinkError:
    return LinkError(f"the connection to the runner broke off: {str(error) or type(error).__name__}", unreachable=True)


def _check(status: int, body: bytes) -> bytes:
    """The body of a good answer. Raises LinkError with the runner's words for any other."""
    if status == 200:
        return body
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace") or f"status {status}"
    raise LinkError(text, status=status)

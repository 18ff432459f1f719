"""As much of HTTP/1.1 as the runner serves: keep-alive, sized and chunked bodies both ways.

By hand, because importing http.server costs more time than all the rest of the runner's start.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterable, Mapping
from io import BufferedReader
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

LONGEST_LINE = 2**14
MOST_HEADERS = 100
LARGEST_JSON = 2**24
WRITE_SIZE = 2**18
LINGER_SECONDS = 5.0
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    416: "Range Not Satisfiable",
}


class Refused(Exception):
    """Answered with `status` and `{"error": text}`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Truncated(Exception):
    """The connection ended inside a request."""


class Body:
    """The request's body; `read` raises Truncated where it ends early."""

    def __init__(self, source: BufferedReader, length: int | None) -> None:
        """`length` None: chunked."""
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self.finished = length == 0

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the body; all for -1."""
        parts = []
        while size and not self.finished:
            if self._left == 0 and not self._next_chunk():
                break
            wanted = self._left if size < 0 else min(size, self._left)
            part = self._source.read(wanted)
            if len(part) < wanted:
                raise Truncated("the body ended early")
            parts.append(part)
            self._left -= wanted
            size -= wanted if size > 0 else 0
            if self._left == 0:
                self._end_of_chunk()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drain(self) -> None:
        while self.read(WRITE_SIZE):
            pass

    def _next_chunk(self) -> bool:
        line = self._source.readline(LONGEST_LINE)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            raise Truncated("the body ended early") from None
        if self._left == 0:
            while _line(self._source):
                pass
            self.finished = True
        return not self.finished

    def _end_of_chunk(self) -> None:
        if not self._chunked:
            self.finished = True
        elif self._source.read(2) != b"\r\n":
            raise Truncated("the body ended early")


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    body: Body
    keep_alive: bool

    def number(self, name: str, default: float = 0.0) -> float:
        try:
            return float(self.query.get(name, default))
        except ValueError:
            raise Refused(400, f"`{name}` is not a number") from None

    def json(self) -> object:
        data = self.body.read(LARGEST_JSON)
        if not self.body.finished and self.body.read(1):
            raise Refused(400, "the body is too large")
        try:
            return json.loads(data)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None


class Reply:
    """One answer. After `stream`, write and end; an answer that isn't ended is seen as broken off by the client."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending: list[bytes] = []
        self._size = 0
        self.started = False
        self.ended = False

    def json(self, value: object, status: int = 200, *, close: bool = False) -> None:
        self._whole(status, "application/json", json.dumps(value).encode(), close)

    def data(self, data: bytes) -> None:
        self._whole(200, "application/octet-stream", data, False)

    def sized(self, size: int, chunks: Iterable[bytes]) -> None:
        """`chunks` must have `size` bytes in all."""
        self._head(200, "application/octet-stream", f"Content-Length: {size}")
        for chunk in chunks:
            self._connection.sendall(chunk)
            size -= len(chunk)
        self.ended = size == 0

    def stream(self, headers: Mapping[str, str] | None = None) -> None:
        """Begins a chunked answer."""
        more = "".join(f"\r\n{name}: {value}" for name, value in (headers or {}).items())
        self._head(200, "application/octet-stream", f"Transfer-Encoding: chunked{more}")

    def write(self, data: bytes) -> int:
        """Collects into large chunks: `flush` where the reader waits for it."""
        self._pending.append(data)
        self._size += len(data)
        if self._size >= WRITE_SIZE:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._size:
            self._connection.sendall(b"".join((b"%x\r\n" % self._size, *self._pending, b"\r\n")))
            self._pending, self._size = [], 0

    def end(self) -> None:
        self.flush()
        self._connection.sendall(b"0\r\n\r\n")
        self.ended = True

    def reader_gone(self) -> bool:
        """Whether the other side has closed both ways (one that only finished writing is still there)."""
        poll = select.poll()
        poll.register(self._connection, 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    def _whole(self, status: int, kind: str, data: bytes, close: bool) -> None:
        self._head(status, kind, f"Content-Length: {len(data)}", close=close, body=data)
        self.ended = True

    def _head(self, status: int, kind: str, length: str, *, close: bool = False, body: bytes = b"") -> None:
        self.started = True
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\nContent-Type: {kind}\r\n{length}\r\n"
        head += "Connection: close\r\n\r\n" if close else "\r\n"
        self._connection.sendall(head.encode() + body)


Handler = Callable[[Request, Reply], None]


def serve_connection(connection: socket.socket, handle: Handler) -> None:
    """Answers requests until the other side is done, breaks off, or sends what can't be understood."""
    with connection, connection.makefile("rb") as source:
        try:
            while _serve_one(connection, source, handle):
                pass
        except (ConnectionError, Truncated, TimeoutError):
            return  # means nothing: whoever needs the answer asks again


def _serve_one(connection: socket.socket, source: BufferedReader, handle: Handler) -> bool:
    reply = Reply(connection)
    try:
        request = _read_request(source)
        if request is None:
            return False
        handle(request, reply)
    except Refused as refusal:
        reply.json({"error": refusal.text}, refusal.status, close=True)
        _linger(connection)
        return False
    if not reply.ended:
        return False
    request.body.drain()
    return request.keep_alive


def _linger(connection: socket.socket) -> None:
    """Reads on until the other side has seen the refusal: closing on unread bytes would destroy it on the way."""
    connection.settimeout(LINGER_SECONDS)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(WRITE_SIZE):
        pass


def _read_request(source: BufferedReader) -> Request | None:
    """None at the end of the connection."""
    first = source.readline(LONGEST_LINE)
    if not first:
        return None
    parts = first.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Refused(400, "not an HTTP/1.1 request")
    headers = {}
    while line := _line(source):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > MOST_HEADERS:
            raise Refused(400, "too many headers")
    path, _, query = parts[1].partition("?")
    keep_alive = headers.get("connection", "").lower() != "close"
    return Request(parts[0], unquote(path), dict(parse_qsl(query)), _body(source, headers), keep_alive)


def _body(source: BufferedReader, headers: dict[str, str]) -> Body:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Body(source, None)
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise Refused(400, "Content-Length is not a number")
    return Body(source, int(length))


def _line(source: BufferedReader) -> str:
    line = source.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise Truncated("the head ended early")
    return line.decode("latin-1").strip()

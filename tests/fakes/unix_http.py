"""A small real HTTP server on the Unix socket of a state folder. It answers as it is told, and can break off anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from dstack_cloud.api.locations import server_socket
from dstack_cloud.api.schemas import VERSION_HEADER
from dstack_cloud.version import __version__


class Request(NamedTuple):
    """`query` holds the last value of each parameter. `whole` is False for an upload that broke off."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    whole: bool


class Reply(NamedTuple):
    """`chunks` stream the body; one that raises Cut ends the connection there."""

    status: int = 200
    body: bytes = b"{}"
    chunks: Iterable[bytes] | None = None
    version: str = __version__


class Cut(Exception):
    """The server dies at this point of its answer."""


Answer = Callable[[Request], Reply]


def reply_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode())


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    answer: Answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        body, whole = self._body()
        target = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(target.query).items()}
        try:
            self._send(self.server.answer(Request(self.command, target.path, query, body, whole)))
        except (Cut, BrokenPipeError):
            pass

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _body(self) -> tuple[bytes, bool]:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0)), True
        parts = []
        while line := self.rfile.readline():
            size = int(line, 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts), True
        return b"".join(parts), False

    def _send(self, reply: Reply) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        self.send_header(VERSION_HEADER, reply.version)
        if reply.chunks is None:
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in reply.chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@contextmanager
def serving(home: Path, answer: Answer) -> Iterator[list[Request]]:
    """Serves `home`'s socket; yields the requests as they come."""
    home.mkdir(parents=True, exist_ok=True)
    requests: list[Request] = []

    def noted(request: Request) -> Reply:
        requests.append(request)
        return answer(request)

    socket_path = server_socket(home)
    server = _Server(str(socket_path), _Handler)
    server.answer = noted
    ours = socket_path.stat().st_ino
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield requests
    finally:
        server.shutdown()
        server.server_close()
        if socket_path.exists() and socket_path.stat().st_ino == ours:  # else a real server took over
            socket_path.unlink()

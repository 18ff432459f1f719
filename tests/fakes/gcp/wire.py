"""HTTP as the emulated services see it: a request, an answer, and Google's way of saying no.

Shape of errors: https://cloud.google.com/apis/design/errors#http_mapping and, for the older part inside `error.errors`,
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Json = dict[str, Any]
JSON_TYPE = "application/json; charset=UTF-8"
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
CANONICAL = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """`path` is decoded, `target` as it came, with what follows a question mark. Names of headers are in lower case."""

    verb: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """One that is repeated has its values joined by commas."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(urlsplit(self.target).query, keep_blank_values=True):
            found[name] = f"{found[name]},{value}" if name in found else value
        return found

    @property
    def base(self) -> str:
        return f"http://{self.headers.get('host', '')}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": JSON_TYPE})


class Refusal(Exception):
    """An error as Google says it. `reason` is the old short name (`notFound`), `details` are messages of google.rpc."""

    def __init__(self, status: int, message: str, reason: str = "invalid", *, details: tuple[Json, ...] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.reason, self.details = status, message, reason, details

    def answer(self) -> Answer:
        error: Json = {
            "code": self.status,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
            "status": CANONICAL.get(self.status, "UNKNOWN"),
        }
        return as_json({"error": {**error, **({"details": list(self.details)} if self.details else {})}}, self.status)


# None: nothing is answered, the connection is closed
App = Callable[[Request], "Answer | None"]


@contextlib.contextmanager
def served(app: App, host: str, name: str) -> Iterator[str]:
    """Its URL, while the context lasts."""
    server = _Server((host, 0), type("Handler", (_Handler,), {"app": staticmethod(app)}))
    threading.Thread(target=server.serve_forever, args=(0.05,), name=name, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Who goes away before its answer has come isn't told of."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # the answer's head and body go out as one packet, and at once
    wbufsize = -1
    disable_nagle_algorithm = True
    app: App

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.app(Request(self.command, self.path, headers, self.rfile.read(length)))
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status, _phrase(answer.status))
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Only what goes wrong is told."""


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Refused"

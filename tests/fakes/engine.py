"""A Docker engine that has no image, and whose pulls end as they are told: what a real one can't be brought to at will."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

# as Docker 20.10 to 28 say it when a layer is written to a full disk
DISK_FULL = "failed to register layer: Error processing tar file(exit status 1): write /usr/lib/libtorch.so: no space left on device"


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    pull_error: str = ""
    dies: bool = False


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path.startswith("/images/create"):
            self._pull()
        elif self.path.startswith("/containers/json"):
            self._reply(200, [])
        elif self.path == "/info":
            self._reply(200, {"DockerRootDir": "/"})
        else:
            self._reply(404, {"message": "No such image"})

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _pull(self) -> None:
        """As engines do: with status 200, and the fault as the last of the records."""
        self.send_response(200)
        self.end_headers()
        self._record({"status": "Pulling fs layer", "id": "0f"})
        if not self.server.dies:
            self._record({"errorDetail": {"message": self.server.pull_error}, "error": self.server.pull_error})

    def _record(self, record: object) -> None:
        self.wfile.write(json.dumps(record).encode() + (b"" if self.server.dies else b"\r\n"))

    def _reply(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def address_string(self) -> str:
        return "unix"


@contextmanager
def serving(path: Path, *, pull_error: str = "", dies: bool = False) -> Iterator[None]:
    """On this socket. `dies`: it breaks off in the middle of a record."""
    server = _Server(str(path), _Handler)
    server.pull_error, server.dies = pull_error, dies
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()

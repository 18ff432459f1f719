"""Large objects are read in pieces, each of which may break off on its way."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dstack_cloud.errors import StoreError
from dstack_cloud.storage.store import open_store

DATA = os.urandom(20 * 2**20)


class Breaking(ThreadingHTTPServer):
    """One object. So many of the answers about a part of it break off in their middle."""

    breaks = 0
    asked = 0

    def broken(self) -> bool:
        self.asked += 1
        self.breaks -= 1
        return self.breaks >= 0


class _Answer(BaseHTTPRequestHandler):
    server: Breaking
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        data = DATA[int(first) : int(last or len(DATA)) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(data) - 1}/{len(DATA)}")
        for name, value in (("Content-Length", str(len(data))), ("ETag", '"1"')):
            self.send_header(name, value)
        self.send_header("Last-Modified", "Thu, 26 Nov 2026 12:00:00 GMT")
        self.end_headers()
        self.close_connection = "Range" in self.headers and self.server.broken()
        self.wfile.write(data[: len(data) // 2] if self.close_connection else data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Breaking]:
    with Breaking(("127.0.0.1", 0), _Answer) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def read(server: Breaking) -> bytes:
    options = {"endpoint": f"http://127.0.0.1:{server.server_port}", "allow_http": "true", "skip_signature": "true"}
    return b"".join(open_store("s3://first", options=options, patience=0).open("big"))


def test_a_piece_that_breaks_off_is_read_again(server):
    server.breaks = 2
    assert read(server) == DATA
    assert server.asked == 5


def test_a_store_that_always_breaks_off_is_told_of(server):
    server.breaks = 1_000
    with pytest.raises(StoreError):
        read(server)

"""A registry of one image, asking for a password: as much of the distribution API as a pull needs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blobs(size: int) -> tuple[bytes, dict[str, bytes]]:
    """(manifest, blobs by digest) of an image with one folder in it, and a file of `size` bytes in that."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("data")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        file = tarfile.TarInfo("data/file")
        file.size = size
        archive.addfile(file, io.BytesIO(os.urandom(size)))
    layer = gzip.compress(buffer.getvalue(), mtime=0)
    root = {"type": "layers", "diff_ids": [_digest(buffer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]}, "rootfs": root}).encode()
    kinds = {
        "config": "application/vnd.docker.container.image.v1+json",
        "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
    described = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": kinds["config"], "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": kinds["layer"], "size": len(layer), "digest": _digest(layer)}],
    }
    return json.dumps(described).encode(), {_digest(config): config, _digest(layer): layer}


@contextmanager
def registry(username: str, password: str, port: int = 0, size: int = 0) -> Iterator[str]:
    """Its address, as it stands in an image's name; with a free port where none is asked for. `size` is its image's, bytes."""
    manifest, blobs = _blobs(size)
    wanted = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, data = MANIFEST, manifest
            if "/blobs/" in self.path:
                kind, data = "application/octet-stream", blobs[self.path.rpartition("/")[2]]
            good = self.headers.get("Authorization") == wanted
            self.send_response(200 if good else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data) if good else 0))
            self.send_header("Docker-Content-Digest", _digest(data))
            self.end_headers()
            if good and self.command == "GET":
                self.wfile.write(data)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

"""A read-only registry with the images of this computer's engine, for the machines' engines.

It speaks the pull half of the registry protocol (OCI distribution specification; manifests of Docker's schema 2) on the
gateway of the machines' network, and to machines of that network only. An image is unpacked to a spool folder when it is first
asked for. What this computer doesn't have is answered with 404: the machine's engine then asks the real registry.
"""

from __future__ import annotations

import errno
import hashlib
import http.server
import ipaddress
import json
import logging
import re
import shutil
import threading
from http import HTTPStatus
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.resources.images import MANIFEST, Images
from dstack_cloud.backends.sandbox.resources.network import Network
from dstack_cloud.errors import BackendError, InvalidConfiguration

log = logging.getLogger(__name__)

ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/?]+)")


class Mirror:
    """Serves in threads of this process until closed. Images are spooled below `spool`, which is removed at the end."""

    def __init__(self, server: _Server, spool: Path) -> None:
        self._server = server
        self._spool = spool
        threading.Thread(target=server.serve_forever, args=(0.1,), name="sandbox-mirror", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._spool, ignore_errors=True)


def start(client: DockerClient, network: Network, port: int, spool: Path) -> Mirror | None:
    """None where another process of this installation serves there already. Raises InvalidConfiguration."""
    try:
        server = _Server((network.gateway, port), network, Images(client, spool))
    except OSError as cause:
        if cause.errno == errno.EADDRINUSE:
            log.info("the sandbox's mirror isn't started: something listens on %s:%d", network.gateway, port)
            return None
        raise InvalidConfiguration(
            f"this computer isn't on the sandbox's network ({network.gateway}: {cause.strerror})",
            "the sandbox needs a Docker Engine that runs on this computer itself, not in a virtual machine",
        ) from cause
    return Mirror(server, spool)


def url(network: Network, port: int) -> str:
    return f"http://{network.gateway}:{port}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], network: Network, images: Images) -> None:
        super().__init__(address, _Handler)
        self.images = images
        self._subnet = ipaddress.ip_network(network.subnet)
        self._gateway = ipaddress.ip_address(network.gateway)

    def verify_request(self, request: object, client_address: tuple[str, int] | str) -> bool:
        """Machines only: neither programs of this computer nor its neighbours may read its user's images."""
        source = ipaddress.ip_address(client_address[0])
        return source in self._subnet and source != self._gateway


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        route = ROUTE.fullmatch(self.path.partition("?")[0])
        if self.path.rstrip("/") == "/v2":
            self._answer(HTTPStatus.OK, b"{}", "application/json")
        elif route is None:
            self._missing()
        elif route["kind"] == "manifests":
            self._manifest(route["name"], route["reference"])
        else:
            self._blob(route["reference"])

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _manifest(self, name: str, reference: str) -> None:
        try:
            manifest = self.server.images.manifest(name, reference)
        except BackendError as wrong:
            log.warning("the image %s:%s can't be given to a machine: %s", name, reference, wrong.summary)
            manifest = None
        if manifest is None:
            self._missing()
        else:
            self._answer(HTTPStatus.OK, manifest, MANIFEST, f"sha256:{hashlib.sha256(manifest).hexdigest()}")

    def _blob(self, digest: str) -> None:
        path = self.server.images.blob(digest)
        if path is None:
            return self._missing()
        with path.open("rb") as file:
            self._head(HTTPStatus.OK, path.stat().st_size, "application/octet-stream", digest)
            if self.command == "GET":
                self.connection.sendfile(file)
        return None

    def _missing(self) -> None:
        answer = {"errors": [{"code": "NAME_UNKNOWN", "message": "this computer's engine has no such image"}]}
        self._answer(HTTPStatus.NOT_FOUND, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str, digest: str = "") -> None:
        self._head(status, len(body), kind, digest)
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, size: int, kind: str, digest: str) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        log.debug("%s " + format, self.client_address[0], *args)

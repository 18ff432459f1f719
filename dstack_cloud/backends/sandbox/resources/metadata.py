"""The metadata service that a machine finds at 169.254.169.254: Amazon's (IMDSv2), Google's and Azure's in one.

It listens on the gateway of the machines' network and knows a machine by its source address; each machine leads the well-known
address here (see `rootfs/usr/local/sbin/machine-init`). The rules of asking are the clouds' own:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html (a token first),
https://cloud.google.com/compute/docs/metadata/querying-metadata (a header; waiting for a change),
https://learn.microsoft.com/en-us/azure/virtual-machines/instance-metadata-service (a header and an `api-version`).
"""

from __future__ import annotations

import errno
import hashlib
import http.server
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from dstack_cloud.backends.sandbox.resources import clouds
from dstack_cloud.backends.sandbox.resources.clouds import AMAZON, AZURE, GOOGLE, Subject
from dstack_cloud.backends.sandbox.resources.network import Network
from dstack_cloud.errors import InvalidConfiguration

log = logging.getLogger(__name__)

TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TOKEN_SECONDS = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - a header's name
LONGEST_TOKEN_SECONDS = 21600
JSON = {"Content-Type": "application/json; charset=utf-8"}
AZURE_TOKEN = f"{AZURE}identity/oauth2/token"
# how often a request that waits for a change looks, and when it gives up unless it says
LOOK_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 3600.0
# an older version of Amazon's documents has the same paths
VERSION = re.compile(r"^/(\d{4}-\d\d-\d\d|1\.0)/")

# the machine of a source address, None where there is none
Find = Callable[[str], Subject | None]


class Metadata:
    """Serves in threads of this process until closed. `port` is where it listens."""

    def __init__(self, host: str, port: int, find: Find) -> None:
        """Raises OSError where it can't listen there."""
        self._server = _Server((host, port), find)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="sandbox-metadata", daemon=True).start()

    def close(self) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()


def start(network: Network, port: int, find: Find) -> Metadata | None:
    """None where another process of this installation serves there already. Raises InvalidConfiguration."""
    try:
        return Metadata(network.gateway, port, find)
    except OSError as cause:
        if cause.errno == errno.EADDRINUSE:
            log.info("the sandbox's metadata service isn't started: something listens on %s:%d", network.gateway, port)
            return None
        raise InvalidConfiguration(
            f"this computer isn't on the sandbox's network ({network.gateway}: {cause.strerror})",
            "the sandbox needs a Docker Engine that runs on this computer itself, not in a virtual machine",
        ) from cause


class _Tokens:
    """Each is one machine's, for the time it asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def issue(self, address: str, seconds: int) -> str:
        token, now = secrets.token_urlsafe(30), time.monotonic()
        with self._lock:
            self._known = {known: entry for known, entry in self._known.items() if entry[1] > now}
            self._known[token] = (address, now + seconds)
        return token

    def good(self, token: str, address: str) -> bool:
        with self._lock:
            owner, until = self._known.get(token, ("", 0.0))
        return owner == address and time.monotonic() < until


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], find: Find) -> None:
        super().__init__(address, _Handler)
        self.find = find
        self.tokens = _Tokens()
        self.closing = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        seconds = self.headers.get(TOKEN_SECONDS, "")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._subject() is None:
            return
        if urlsplit(self.path).path != f"{AMAZON}api/token":
            self._answer(HTTPStatus.NOT_FOUND)
        elif "X-Forwarded-For" in self.headers:
            self._answer(HTTPStatus.FORBIDDEN)
        elif not seconds.isdecimal() or not 1 <= int(seconds) <= LONGEST_TOKEN_SECONDS:
            self._answer(HTTPStatus.BAD_REQUEST)
        else:
            token = self.server.tokens.issue(self.client_address[0], int(seconds))
            self._answer(HTTPStatus.OK, token.encode(), {TOKEN_SECONDS: seconds})

    def do_GET(self) -> None:
        path = VERSION.sub(AMAZON, urlsplit(self.path).path)
        subject = self._subject()
        if subject is None:
            return
        if path.startswith(GOOGLE):
            self._google(subject, path)
        elif path.startswith(AZURE):
            self._azure(subject, path)
        elif not self.server.tokens.good(self.headers.get(TOKEN, ""), self.client_address[0]):
            self._answer(HTTPStatus.UNAUTHORIZED)
        else:
            found = clouds.documents(subject)
            body = found.get(path)
            self._document(clouds.listing(found, path) if body is None and path.startswith(AMAZON) else body)

    def _subject(self) -> Subject | None:
        """Who asks; a machine that isn't known (any more) is told so."""
        found = self.server.find(self.client_address[0])
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND)
        return found

    def _google(self, subject: Subject, path: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if self.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in self.headers:
            self._answer(HTTPStatus.FORBIDDEN)
            return
        body = clouds.documents(subject).get(path)
        if body is not None and asked.get("wait_for_change", "").lower() == "true":
            body = self._changed(path, asked.get("last_etag") or _etag(body), asked.get("timeout_sec", ""))
        headers = {"Metadata-Flavor": "Google"} | ({} if body is None else {"ETag": _etag(body)})
        self._document(body, headers)

    def _changed(self, path: str, etag: str, seconds: str) -> bytes | None:
        """The document as soon as it is another than that of `etag`, or as it is when the time is over."""
        wait = min(float(seconds), LONGEST_WAIT_SECONDS) if seconds.isdecimal() else LONGEST_WAIT_SECONDS
        until = time.monotonic() + wait
        while True:
            subject = self.server.find(self.client_address[0])
            body = clouds.documents(subject).get(path) if subject else None
            if body is None or _etag(body) != etag or time.monotonic() >= until or self.server.closing.is_set():
                return body
            self.server.closing.wait(LOOK_SECONDS)

    def _azure(self, subject: Subject, path: str) -> None:
        answers = {f"{AZURE}scheduledevents": clouds.azure_events, f"{AZURE}instance": clouds.azure_instance}
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "resource" in asked:
            path = f"{path}?resource={asked['resource'].rstrip('/')}"
        if self.headers.get("Metadata", "").lower() != "true" or "X-Forwarded-For" in self.headers:
            self._refuse("Bad request. Required metadata header not specified")
        elif "api-version" not in asked:
            self._refuse("Bad request. api-version is invalid or was not specified in the request.")
        elif path in subject.documents:
            self._document(subject.documents[path], None if asked.get("format") == "text" else JSON)
        elif path.rstrip("/") in answers:
            self._answer(HTTPStatus.OK, json.dumps(answers[path.rstrip("/")](subject)).encode(), JSON)
        elif path.startswith(AZURE_TOKEN):
            self._refuse("invalid_request", "Identity not found")
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _refuse(self, why: str, description: str = "") -> None:
        body = {"error": why, **({"error_description": description} if description else {})}
        self._answer(HTTPStatus.BAD_REQUEST, json.dumps(body).encode(), JSON)

    def _document(self, body: bytes | None, headers: dict[str, str] | None = None) -> None:
        self._answer(HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK, body or b"", headers)

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "text/plain"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("%s " + format, self.client_address[0], *args)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]

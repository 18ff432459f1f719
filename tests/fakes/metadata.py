"""The metadata services of three clouds on a port of this computer, as far as they tell a machine that it is taken back.

The forms are the vendors': IMDSv2 (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html and
spot-instance-termination-notices.html), Google's (cloud.google.com/compute/docs/metadata/querying-metadata) and Azure's
(learn.microsoft.com/azure/virtual-machines/linux/scheduled-events).
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
GOOGLE_HOLDS_SECONDS = 60.0


@dataclass
class Metadata:
    """What the services know, and how they misbehave. Changes are seen at once."""

    address: str = ""
    machine: str = "vm-1"
    requests: list[str] = field(default_factory=list)
    # how it misbehaves: an HTTP status for everything; never an answer; nothing held (Google's wait_for_change)
    refuses: int = 0
    silent: bool = False
    holds: bool = True
    _tokens: set[str] = field(default_factory=set)
    _events: list[dict[str, object]] = field(default_factory=list)
    _preempted: bool = False
    _aws_action: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def interrupt(self, *machines: str) -> None:
        """The notice, by all three; Azure names these machines, this one by default."""
        event = {
            "EventId": secrets.token_hex(16),
            "EventStatus": "Scheduled",
            "EventType": "Preempt",
            "ResourceType": "VirtualMachine",
            "Resources": list(machines or (self.machine,)),
            "NotBefore": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30)),
            "EventSource": "Platform",
        }
        with self._changed:
            self._events.append(event)
            if not machines or self.machine in machines:
                self._preempted = self._aws_action = True
            self._changed.notify_all()

    def schedule(self, kind: str) -> None:
        """Another event of Azure's: `Freeze`, `Reboot`, `Redeploy`."""
        self._events.append({"EventType": kind, "Resources": [self.machine], "EventStatus": "Scheduled"})

    def forget_tokens(self) -> None:
        self._tokens.clear()

    # -- the three services ------------------------------------------------------------------------------------------

    def aws_token(self, seconds: str) -> tuple[int, str]:
        if not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            return 400, ""
        token = secrets.token_urlsafe(32)
        self._tokens.add(token)
        return 200, token

    def aws_action(self, token: str) -> tuple[int, str]:
        if token not in self._tokens:
            return 401, ""
        if not self._aws_action:
            return 404, ""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
        return 200, json.dumps({"action": "terminate", "time": when})

    def google(self, flavor: str, query: dict[str, str]) -> tuple[int, str]:
        """With `wait_for_change` once the value isn't that of `last_etag` any more, or `timeout_sec` are over."""
        if flavor != "Google":
            return 403, ""
        with self._changed:
            if self.holds and query.get("wait_for_change") == "true":
                before = query.get("last_etag", self.etag)
                seconds = float(query.get("timeout_sec", GOOGLE_HOLDS_SECONDS))
                self._changed.wait_for(lambda: self.etag != before, seconds)
            return 200, "TRUE" if self._preempted else "FALSE"

    @property
    def etag(self) -> str:
        return "1f" if self._preempted else "0e"

    def azure(self, header: str, query: dict[str, str]) -> tuple[int, str]:
        if header.lower() != "true" or "api-version" not in query:
            return 400, ""
        return 200, json.dumps({"DocumentIncarnation": len(self._events), "Events": self._events})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    metadata: Metadata

    def do_GET(self) -> None:
        known, target = self.metadata, urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(target.query).items()}
        known.requests.append(f"{self.command} {self.path}")
        while known.silent:
            time.sleep(0.05)
        answers: dict[str, Callable[[], tuple[int, str]]] = {
            "PUT /latest/api/token": lambda: known.aws_token(self.headers.get(TTL, "")),
            "GET /latest/meta-data/spot/instance-action": lambda: known.aws_action(self.headers.get(TOKEN, "")),
            "GET /computeMetadata/v1/instance/preempted": lambda: known.google(
                self.headers.get("Metadata-Flavor", ""), query
            ),
            "GET /metadata/scheduledevents": lambda: known.azure(self.headers.get("Metadata", ""), query),
            "GET /metadata/instance/compute/name": lambda: (200, known.machine),
        }
        answer = answers.get(f"{self.command} {target.path}", lambda: (404, ""))
        self._send(*((known.refuses, "") if known.refuses else answer()))

    do_PUT = do_GET  # noqa: N815

    def _send(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.metadata.etag)
        self.end_headers()
        try:
            self.wfile.write(body.encode())
        except OSError:
            pass  # who asked has ended meanwhile

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[Metadata]:
    metadata = Metadata()
    handler = type("Handler", (_Handler,), {"metadata": metadata})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    metadata.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield metadata
    finally:
        metadata.silent = False
        server.shutdown()
        server.server_close()

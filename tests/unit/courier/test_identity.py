"""A machine's own identity as its metadata service tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from dstack_cloud import errors
from dstack_cloud.courier.identity import TOKEN, own_identity


class Service(BaseHTTPRequestHandler):
    """Google's, as far as it gives tokens. https://cloud.google.com/compute/docs/metadata/querying-metadata"""

    # what it says, by what stands before the path
    answers: ClassVar = {
        "": json.dumps({"access_token": "t", "expires_in": 1800, "token_type": "Bearer"}).encode(),
        "/odd": b"no JSON",
        "/empty": b"{}",
    }

    def do_GET(self) -> None:
        known = self.headers.get("Metadata-Flavor") == "Google" and self.path.endswith(TOKEN)
        answer = self.answers.get(self.path.removesuffix(TOKEN)) if known else None
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_token_for_google_and_until_when_it_is_good(metadata: str) -> None:
    provide = own_identity("gs://bucket/team", metadata)
    assert provide
    found = provide()
    left = found["expires_at"] - datetime.now(timezone.utc)
    assert found["token"] == "t" and timedelta(minutes=29) < left <= timedelta(minutes=30)


@pytest.mark.parametrize("where", ["/none", "/odd", "/empty"])
def test_a_machine_without_an_identity(metadata: str, where: str) -> None:
    provide = own_identity("gs://bucket", f"{metadata}{where}")
    assert provide
    with pytest.raises(errors.StoreError, match=r"service account|no token"):
        provide()


@pytest.mark.parametrize("url", ["s3://bucket", "az://container", "file:///folder"])
def test_elsewhere_obstore_finds_it_by_itself(url: str) -> None:
    assert own_identity(url) is None

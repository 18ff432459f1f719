"""What the user is told when a store can't be used, and that the checks find it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dstack_cloud import errors
from dstack_cloud.storage.checks import check_store
from dstack_cloud.storage.store import open_store

OPTIONS = {"region": "us-east-1", "allow_http": "true", "access_key_id": "K", "secret_access_key": "very-secret"}


@contextmanager
def answering(status: int, code: str = "", region: str = "") -> Iterator[str]:
    """A server whose every answer is that; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = f"<Error><Code>{code}</Code><Message>words</Message></Error>".encode() if code else b"<html></html>"
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if region:
                self.send_header("x-amz-bucket-region", region)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def told(endpoint: str) -> errors.StoreError:
    store = open_store("s3://box/prefix", options={**OPTIONS, "endpoint": endpoint}, patience=0.2)
    with pytest.raises(errors.StoreError) as caught:
        check_store(store)
    assert caught.value.hint
    assert "very-secret" not in f"{caught.value.summary}{caught.value.hint}"
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "summary", "hint"),
    [
        (404, "NoSuchBucket", "the bucket box doesn't exist", "make it"),
        (403, "AccessDenied", "refused access: AccessDenied: words", "s3:PutObject|PutObject"),
        (403, "InvalidAccessKeyId", "InvalidAccessKeyId: words", "credentials"),
        (403, "SignatureDoesNotMatch", "SignatureDoesNotMatch", "secret key"),
        (403, "RequestTimeTooSkewed", "RequestTimeTooSkewed", "clock"),
        (400, "ExpiredToken", "ExpiredToken: words", "renew"),
        (500, "InternalError", "failed at checks/", "later"),
        (200, "", "the object store failed", "URL"),
    ],
)
def test_says_what_the_store_says_and_what_to_do(status, code, summary, hint):
    with answering(status, code) as endpoint:
        error = told(endpoint)
    assert summary in error.summary
    assert any(word in error.hint for word in hint.split("|"))
    assert error.retryable


@pytest.mark.parametrize("status", [301, 400])
def test_names_the_region_where_the_bucket_is(status):
    code = "PermanentRedirect" if status == 301 else "AuthorizationHeaderMalformed"
    with answering(status, code, "eu-west-3") as endpoint:
        error = told(endpoint)
    assert error.summary == "the bucket box is in eu-west-3, not in us-east-1"
    assert "region: eu-west-3" in error.hint


def test_nobody_answers():
    error = told("http://127.0.0.1:1")
    assert error.summary == "the object store http://127.0.0.1:1 can't be reached"


def test_credentials_that_can_not_be_had():
    def credentials():
        raise RuntimeError("no login")

    store = open_store("s3://box", options={"region": "us-east-1"}, credentials=credentials, patience=0.2)
    with pytest.raises(errors.StoreError, match="no login"):
        store.put("a", b"1")


@pytest.mark.parametrize("options", [{"nonsense": "1"}, {"virtual_hosted_style_request": "perhaps"}])
def test_options_that_are_none(options):
    with pytest.raises(errors.ConfigurationError):
        open_store("s3://box", options=options)


def test_a_good_store_passes_and_is_left_as_it_was(store):
    check_store(store)
    assert list(store.list("")) == []

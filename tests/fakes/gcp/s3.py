"""The S3 server behind the emulated Cloud Storage, asked over connections that are kept: one a thread."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes import seaweed
from tests.fakes.gcp.wire import Answer, Refusal

TIMEOUT_SECONDS = 60
# of the answer's headers, those that Cloud Storage has under the same name
SAME = (
    *("Content-Type", "Content-Length", "Content-Range", "ETag", "Last-Modified", "Accept-Ranges", "Content-Encoding"),
    *("Cache-Control", "Content-Disposition", "Content-Language"),
)


class _Unsigned(S3SigV4Auth):
    """The body isn't hashed."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


class S3:
    """Threads share it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._signer = _Unsigned(Credentials(seaweed.KEY, seaweed.SECRET), "s3", seaweed.REGION)
        self._own = threading.local()

    def ask(
        self,
        verb: str,
        bucket: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        path = f"/{bucket}/{quote(key, safe='/~')}" if key else f"/{bucket}"
        target = f"{path}?{urlencode(query or {}, quote_via=quote)}" if query else path
        signed = AWSRequest(verb, f"{self._url}{target}", headers=dict(headers or {}), data=body)
        self._signer.add_auth(signed)
        return self._exchanged(verb, target, body, dict(signed.headers.items()))

    def make(self, bucket: str) -> None:
        """Raises Refusal."""
        if self.ask("PUT", bucket, "").status >= 400:
            raise Refusal(400, f"Invalid bucket name: '{bucket}'")

    def remove(self, bucket: str) -> None:
        """Raises Refusal for one that isn't empty."""
        if self.ask("DELETE", bucket, "").status >= 400:
            raise Refusal(409, "The bucket you tried to delete is not empty.", "conflict")

    def _exchanged(self, verb: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """A connection that was kept too long is made anew, once."""
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(verb, target, body or None, headers)
                answer = connection.getresponse()
                known = {name: answer.headers[name] for name in SAME if name in answer.headers}
                meta = {
                    name.lower(): value
                    for name, value in answer.headers.items()
                    if name.lower().startswith("x-amz-meta-")
                }
                known |= {name.replace("x-amz-", "x-goog-", 1): value for name, value in meta.items()}
                return Answer(answer.status, answer.read(), known)
            except (http.client.HTTPException, OSError):
                self._own.connection = None
                if attempt == 2:
                    raise
        raise AssertionError

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._own, "connection", None) is None:
            self._own.connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=TIMEOUT_SECONDS)
        found: http.client.HTTPConnection = self._own.connection
        return found

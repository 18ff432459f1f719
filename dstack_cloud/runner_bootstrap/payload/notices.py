"""Listens for the cloud's word that it takes this machine back.

AWS: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
Google: https://cloud.google.com/compute/docs/instances/create-use-preemptible and .../docs/metadata/querying-metadata
Azure: https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlsplit

# from the notice to the machine's end, seconds; Azure and Google promise no more than these
WINDOWS = {"aws": 120.0, "gcp": 30.0, "azure": 30.0}
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 2.0
LARGEST_ANSWER = 2**20
AWS_TOKEN_SECONDS = 21600
# a held question that is lost on the way is asked again after this
GOOGLE_HOLD_SECONDS = 10
AZURE_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
AZURE_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"


class Answer(NamedTuple):
    status: int
    etag: str
    body: bytes


class _Service(Protocol):
    def says_so(self) -> bool:
        """Whether the machine is to be taken back. Raises OSError, HTTPException, ValueError where that can't be learned."""
        ...


class Metadata:
    """The HTTP service that a cloud gives each of its machines. Every request is a connection of its own: no proxy, no pool."""

    def __init__(self, address: str) -> None:
        """`address` like `http://169.254.169.254`."""
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80

    def ask(
        self, path: str, headers: Mapping[str, str], method: str = "GET", seconds: float = ANSWER_SECONDS
    ) -> Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("ETag", ""), response.read(LARGEST_ANSWER))
        finally:
            connection.close()


def watch(cloud: str, address: str, tell: Callable[[], None]) -> None:
    """Calls `tell` once, from a thread of its own, within about a second of the notice. A service that fails or doesn't answer
    is asked again for as long as this program runs."""
    service = _SERVICES[cloud](Metadata(address))
    threading.Thread(target=_listen, args=(service, cloud, tell), name="notices", daemon=True).start()


def _listen(service: _Service, cloud: str, tell: Callable[[], None]) -> None:
    trouble = ""
    while True:
        began = time.monotonic()
        try:
            if service.says_so():
                tell()
                return
            trouble = ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not trouble:
                print(f"the metadata service of {cloud} doesn't tell of interruptions: {error!r}", file=sys.stderr)
            trouble = str(error) or "trouble"
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))


class _Aws:
    """IMDSv2: a token first. A service that gives none is asked without, as version 1 is."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._token = ""
        self._renew_at = 0.0

    def says_so(self) -> bool:
        answer = self._ask("/latest/meta-data/spot/instance-action")
        if answer.status == 401:
            self._token = ""
            answer = self._ask("/latest/meta-data/spot/instance-action")
        return _found(answer, "AWS")

    def _ask(self, path: str) -> Answer:
        if not self._token or time.monotonic() >= self._renew_at:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(AWS_TOKEN_SECONDS)}
            given = self._metadata.ask("/latest/api/token", lifetime, "PUT")
            self._token = given.body.decode("latin-1") if given.status == 200 else ""
            self._renew_at = time.monotonic() + AWS_TOKEN_SECONDS / 2
        return self._metadata.ask(path, {"X-aws-ec2-metadata-token": self._token} if self._token else {})


class _Google:
    """Holds the question until the value changes from the one that the last answer's ETag stands for."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._etag = ""

    def says_so(self) -> bool:
        path, patience = "/computeMetadata/v1/instance/preempted", ANSWER_SECONDS
        if self._etag:
            path += f"?wait_for_change=true&timeout_sec={GOOGLE_HOLD_SECONDS}&last_etag={quote(self._etag)}"
            patience += GOOGLE_HOLD_SECONDS
        etag, self._etag = self._etag, ""  # after a fault, the value itself is asked for first
        answer = self._metadata.ask(path, {"Metadata-Flavor": "Google"}, seconds=patience)
        if not _found(answer, "Google"):
            return False
        self._etag = answer.etag or etag
        return answer.body.strip().upper() == b"TRUE"


class _Azure:
    """Events of a whole placement group are shown to each of its machines, so this one's name is looked for."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._name = ""

    def says_so(self) -> bool:
        answer = self._metadata.ask(AZURE_EVENTS, {"Metadata": "true"})
        if not _found(answer, "Azure"):
            return False
        events = json.loads(answer.body).get("Events") or []
        taken = [event.get("Resources") or [] for event in events if event.get("EventType") == "Preempt"]
        return any(self._is_this(names) for names in taken)

    def _is_this(self, names: list[str]) -> bool:
        """A name that can't be learned in time is taken for this machine's: a lone machine is shown its own events only."""
        if not self._name:
            try:
                answer = self._metadata.ask(AZURE_NAME, {"Metadata": "true"})
            except (OSError, http.client.HTTPException):
                return True
            self._name = answer.body.decode(errors="replace").strip() if answer.status == 200 else ""
        return not self._name or self._name.lower() in [name.lower() for name in names]


def _found(answer: Answer, cloud: str) -> bool:
    """False where there is no such thing (404). Raises ValueError for any other refusal."""
    if answer.status not in (200, 404):
        raise ValueError(f"{cloud} answered with status {answer.status}")
    return answer.status == 200


_SERVICES: dict[str, Callable[[Metadata], _Service]] = {"aws": _Aws, "gcp": _Google, "azure": _Azure}

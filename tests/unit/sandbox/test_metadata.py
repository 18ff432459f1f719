"""The metadata service, asked as the clouds' own documents say."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from dstack_cloud.backends.sandbox.resources.clouds import Subject
from dstack_cloud.backends.sandbox.resources.metadata import Metadata

ENDS_AT = 1_900_000_000.0
TOKEN_SECONDS = "X-aws-ec2-metadata-token-ttl-seconds"
GOOGLE = {"Metadata-Flavor": "Google"}
AZURE = {"Metadata": "true"}
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
PREEMPTED = "/computeMetadata/v1/instance/preempted"


class Site:
    """A service that knows two machines; `subject` is the one at 127.0.0.1."""

    def __init__(self) -> None:
        self.subject: Subject | None = Subject("m-1", "eu-west-3", "eu-west-3a", "small", "127.0.0.1", spot=True)
        self.other = Subject("m-2", "eu-west-3", "eu-west-3b", "small", "127.0.0.2")
        self.service = Metadata(
            "127.0.0.1", 0, lambda address: {"127.0.0.1": self.subject, "127.0.0.2": self.other}.get(address)
        )

    def announce(self) -> None:
        assert self.subject
        self.subject = replace(self.subject, announced_at=ENDS_AT - 120, ends_at=ENDS_AT)

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", source: str = "127.0.0.1"
    ) -> tuple[int, str]:
        status, body, _ = self.answer(path, headers, method, source)
        return status, body

    def answer(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", source: str = "127.0.0.1"
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60, source_address=(source, 0))
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def aws(self, path: str, source: str = "127.0.0.1", seconds: int = 60) -> tuple[int, str]:
        status, token = self.ask("/latest/api/token", {TOKEN_SECONDS: str(seconds)}, "PUT", source)
        assert status == 200
        return self.ask(path, {"X-aws-ec2-metadata-token": token}, source=source)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.service.close()


def test_amazon_asks_for_a_token(site: Site) -> None:
    assert site.ask("/latest/meta-data/instance-id") == (401, "")
    assert site.ask("/latest/meta-data/instance-id", {"X-aws-ec2-metadata-token": "made-up"}) == (401, "")
    assert site.aws("/latest/meta-data/instance-id") == (200, "m-1")
    assert site.aws("/2021-01-03/meta-data/placement/availability-zone") == (200, "eu-west-3a")


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "many"])
def test_a_token_is_for_a_time_that_is_allowed(site: Site, seconds: str) -> None:
    assert site.ask("/latest/api/token", {TOKEN_SECONDS: seconds}, "PUT")[0] == 400


def test_a_token_is_for_its_time_and_its_machine(site: Site) -> None:
    _, token = site.ask("/latest/api/token", {TOKEN_SECONDS: "1"}, "PUT")
    headers = {"X-aws-ec2-metadata-token": token}
    assert site.ask("/latest/meta-data/instance-id", headers, source="127.0.0.2")[0] == 401
    deadline = time.monotonic() + 60
    while site.ask("/latest/meta-data/instance-id", headers)[0] == 200:
        assert time.monotonic() < deadline


def test_nobody_asks_through_a_proxy(site: Site) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    assert site.ask("/latest/api/token", {TOKEN_SECONDS: "60", **forwarded}, "PUT")[0] == 403
    assert site.ask(PREEMPTED, GOOGLE | forwarded)[0] == 403


def test_each_machine_is_told_of_itself(site: Site) -> None:
    assert site.aws("/latest/meta-data/instance-id", "127.0.0.2") == (200, "m-2")
    assert site.ask("/latest/meta-data/instance-id", source="127.0.0.3")[0] == 404


def test_amazons_notice(site: Site) -> None:
    data = "/latest/meta-data"
    for path in ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance"):
        assert site.aws(f"{data}/{path}")[0] == 404
    site.announce()
    assert json.loads(site.aws(f"{data}/spot/instance-action")[1]) == {
        "action": "terminate",
        "time": "2030-03-17T17:46:40Z",
    }
    assert site.aws(f"{data}/spot/termination-time") == (200, "2030-03-17T17:46:40Z")
    assert json.loads(site.aws(f"{data}/events/recommendations/rebalance")[1]) == {"noticeTime": "2030-03-17T17:44:40Z"}


def test_folders_are_listed(site: Site) -> None:
    assert site.aws("/latest/meta-data/placement/") == (200, "availability-zone\nregion")
    assert "placement/" in site.aws("/latest/meta-data/")[1].split()
    assert site.aws("/latest/nothing/")[0] == 404


def test_further_documents(site: Site) -> None:
    assert site.subject
    role = "/latest/meta-data/iam/security-credentials/a-role"
    site.subject = replace(site.subject, documents={role: b"{}", "/latest/user-data": b"\x00raw"})
    assert site.aws("/latest/meta-data/iam/security-credentials/") == (200, "a-role")
    assert site.aws(role) == (200, "{}")
    assert site.aws("/latest/user-data") == (200, "\x00raw")
    assert site.aws(role, "127.0.0.2")[0] == 404


def test_googles_notice(site: Site) -> None:
    assert site.ask(PREEMPTED)[0] == 403
    status, body, headers = site.answer(PREEMPTED, GOOGLE)
    assert (status, body, headers["Metadata-Flavor"]) == (200, "FALSE", "Google")
    site.announce()
    assert site.ask(PREEMPTED, GOOGLE) == (200, "TRUE")
    assert site.ask("/computeMetadata/v1/instance/nothing", GOOGLE)[0] == 404


def test_waiting_for_googles_notice(site: Site) -> None:
    etag = site.answer(PREEMPTED, GOOGLE)[2]["ETag"]
    assert site.ask(f"{PREEMPTED}?wait_for_change=true&timeout_sec=0", GOOGLE) == (200, "FALSE")
    threading.Timer(0.2, site.announce).start()
    assert site.ask(f"{PREEMPTED}?wait_for_change=true&last_etag={etag}", GOOGLE) == (200, "TRUE")
    # who knows an older state is answered at once
    assert site.ask(f"{PREEMPTED}?wait_for_change=true&last_etag={etag}", GOOGLE) == (200, "TRUE")


def test_who_waits_for_a_machine_that_goes_is_answered(site: Site) -> None:
    threading.Timer(0.2, lambda: setattr(site, "subject", None)).start()
    assert site.ask(f"{PREEMPTED}?wait_for_change=true", GOOGLE)[0] == 404


def test_azures_notice(site: Site) -> None:
    assert site.ask(EVENTS)[0] == 400
    assert site.ask("/metadata/scheduledevents", AZURE)[0] == 400
    assert json.loads(site.ask(EVENTS, AZURE)[1])["Events"] == []
    site.announce()
    (event,) = json.loads(site.ask(EVENTS, AZURE)[1])["Events"]
    assert (event["EventType"], event["EventStatus"], event["Resources"]) == ("Preempt", "Scheduled", ["m-1"])
    assert parsedate_to_datetime(event["NotBefore"]).timestamp() == ENDS_AT
    assert site.subject
    site.subject = replace(site.subject, documents={"/metadata/instance/compute/name": b"vm-1"})
    assert json.loads(site.ask(EVENTS, AZURE)[1])["Events"][0]["Resources"] == ["vm-1"]
    assert json.loads(site.ask("/metadata/instance?api-version=2021-02-01", AZURE)[1])["compute"]["vmId"] == "m-1"


def test_azures_tokens_are_for_one_resource(site: Site) -> None:
    path, management = "/metadata/identity/oauth2/token", "https://management.azure.com"
    asked = f"{path}?api-version=2018-02-01&resource="
    status, refused = site.ask(f"{asked}{management}", AZURE)
    assert (status, json.loads(refused)["error_description"]) == (400, "Identity not found")
    assert site.subject
    site.subject = replace(site.subject, documents={f"{path}?resource={management}": b'{"access_token": "t"}'})
    assert json.loads(site.ask(f"{asked}https%3A%2F%2Fmanagement.azure.com%2F", AZURE)[1]) == {"access_token": "t"}
    assert site.ask(f"{asked}https://storage.azure.com/", AZURE)[0] == 400
    assert site.ask(f"{asked}{management}")[0] == 400

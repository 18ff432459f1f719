"""The emulated Cloud Storage as obstore speaks to it, and what it refuses."""

from __future__ import annotations

import datetime
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import obstore
import pytest
from google.auth.transport.requests import Request
from google.oauth2 import sts
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError, PreconditionError
from obstore.store import GCSStore

from tests.fakes.gcp import GoogleCloud
from tests.unit.fakes.google_requests import ask

pytestmark = [pytest.mark.google, pytest.mark.seaweed]

ONCE = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
TOKEN = "urn:ietf:params:oauth:token-type:access_token"
BIG = b"0123456789" * 1_500_000


@pytest.fixture(scope="module")
def storing() -> Iterator[GoogleCloud]:
    with GoogleCloud(store=True) as found:
        yield found


@pytest.fixture
def shelf(storing: GoogleCloud) -> Iterator[str]:
    """The name of a bucket."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    storing.make_bucket(name)
    yield name
    storing.reset()


def store(cloud: GoogleCloud, bucket: str, token: str = "") -> GCSStore:
    token = token or cloud.token()
    return GCSStore(
        bucket, base_url=cloud.store, credential_provider=lambda: {"token": token, "expires_at": None}, **ONCE
    )


def narrowed(cloud: GoogleCloud, bucket: str, prefix: str, role: str = "objectUser") -> str:
    """A token for what lies below a prefix."""
    listed = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "")'
    below = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{prefix}")'
    rule = {
        "availableResource": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "availablePermissions": [f"inRole:roles/storage.{role}"],
        "availabilityCondition": {"expression": f'{below} || {listed}.startsWith("{prefix}")'},
    }
    exchange: Any = sts.Client(f"{cloud.endpoint}/v1/token")
    answer = exchange.exchange_token(
        request=Request(),
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=cloud.token(),
        subject_token_type=TOKEN,
        requested_token_type=TOKEN,
        additional_options={"accessBoundary": {"accessBoundaryRules": [rule]}},
    )
    return str(answer["access_token"])


def test_an_object_is_made_once_and_changed_by_who_has_seen_it(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    first = obstore.put(objects, "a/b c.txt", b"one", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(objects, "a/b c.txt", b"two", mode="create")
    second = obstore.put(objects, "a/b c.txt", b"two", mode={"version": first["version"]})
    with pytest.raises(PreconditionError):
        obstore.put(objects, "a/b c.txt", b"three", mode={"version": first["version"]})
    found = obstore.get(objects, "a/b c.txt")
    assert (bytes(found.bytes()), found.meta["version"]) == (b"two", second["version"])


def test_the_same_content_again_is_another_generation(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    first, second = obstore.put(objects, "a", b"one"), obstore.put(objects, "a", b"one")
    assert (first["e_tag"], first["version"] < second["version"]) == (second["e_tag"], True)
    with pytest.raises(PreconditionError):
        obstore.put(objects, "a", b"two", mode={"version": first["version"]})


def test_one_of_many_who_change_it_at_once_wins(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    for _ in range(5):
        seen = obstore.put(objects, "a", b"0")["version"]

        def change(number: int, seen: Any = seen) -> bool:
            obstore.get(objects, "a")
            try:
                obstore.put(objects, "a", str(number).encode(), mode={"version": seen})
            except PreconditionError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(change, range(8))) == 1


def test_in_parts_by_range_and_listed(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    obstore.put(objects, "big/one", BIG, use_multipart=True)
    assert obstore.head(objects, "big/one")["size"] == len(BIG)
    assert bytes(obstore.get_range(objects, "big/one", start=len(BIG) - 3, end=len(BIG))) == b"789"
    for number in range(3):
        obstore.put(objects, f"small/{number}", b"1")
    assert [each["path"] for page in obstore.list(objects, "small/") for each in page] == [
        "small/0",
        "small/1",
        "small/2",
    ]
    assert sorted(obstore.list_with_delimiter(objects)["common_prefixes"]) == ["big", "small"]


def test_copied_renamed_and_deleted(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    obstore.put(objects, "a", b"one")
    obstore.copy(objects, "a", "b")
    with pytest.raises(AlreadyExistsError):
        obstore.copy(objects, "a", "b", overwrite=False)
    obstore.rename(objects, "b", "c")
    assert bytes(obstore.get(objects, "c").bytes()) == b"one"
    obstore.delete(objects, "c")
    for gone in ("b", "c"):
        with pytest.raises(FileNotFoundError):
            obstore.head(objects, gone)
    with pytest.raises(FileNotFoundError):
        obstore.delete(objects, "c")


def test_an_account_signs_for_itself_and_signs_urls(storing: GoogleCloud, shelf: str) -> None:
    key = json.dumps({**storing.key_file(), "gcs_base_url": storing.store})
    objects = GCSStore(shelf, service_account_key=key, **ONCE)
    obstore.put(objects, "a", b"one")
    obstore.put(objects, "b", b"two")
    url = obstore.sign(objects, "GET", "a", datetime.timedelta(seconds=60))
    assert urllib.request.urlopen(url).read() == b"one"
    for forged in (url.replace("/a?", "/b?"), url.replace("Expires=60", "Expires=90"), f"{storing.store}/{shelf}/a"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
            urllib.request.urlopen(forged)


def test_a_token_for_a_prefix_opens_nothing_else(storing: GoogleCloud, shelf: str) -> None:
    objects, inside = store(storing, shelf), store(storing, shelf, narrowed(storing, shelf, "mine/"))
    obstore.put(objects, "mine/a", b"one")
    obstore.put(objects, "other/a", b"two")
    assert bytes(obstore.get(inside, "mine/a").bytes()) == b"one"
    obstore.put(inside, "mine/b", BIG, use_multipart=True)
    assert [each["path"] for page in obstore.list(inside, "mine/") for each in page] == ["mine/a", "mine/b"]
    for path in ("other/a", "mine", "min"):
        with pytest.raises(PermissionDeniedError):
            obstore.get(inside, path)
        with pytest.raises(PermissionDeniedError):
            obstore.put(inside, path, b"mine now")
    with pytest.raises(GenericError, match="AccessDenied"):
        list(obstore.list(inside))


def test_a_token_for_reading_writes_nothing(storing: GoogleCloud, shelf: str) -> None:
    obstore.put(store(storing, shelf), "mine/a", b"one")
    token = narrowed(storing, shelf, "mine/", "objectViewer")
    reading = store(storing, shelf, token)
    assert bytes(obstore.get(reading, "mine/a").bytes()) == b"one"
    for change in (lambda: obstore.put(reading, "mine/b", b"1"), lambda: obstore.delete(reading, "mine/a")):
        with pytest.raises(PermissionDeniedError):
            change()
    instances = "/compute/v1/projects/rehearsal-428117/aggregated/instances"
    assert ask(storing, "GET", instances, token=token)[0] == 403


def test_a_bucket_lets_in_whom_its_own_policy_names(storing: GoogleCloud, shelf: str) -> None:
    key = storing.restricted("machine", [])
    objects = store(storing, shelf, storing.token(key))
    with pytest.raises(PermissionDeniedError):
        obstore.put(objects, "a", b"one")
    path = f"/storage/v1/b/{shelf}/iam"
    _, policy = ask(storing, "GET", path)
    binding = {"role": "roles/storage.objectUser", "members": [f"serviceAccount:{key['client_email']}"]}
    assert ask(storing, "PUT", path, {**policy, "bindings": [binding]})[0] == 200
    obstore.put(objects, "a", b"one")
    obstore.put(objects, "a", b"two")


def test_faults_before_and_after_the_effect(storing: GoogleCloud, shelf: str) -> None:
    objects = store(storing, shelf)
    storing.fail("objects.insert", "unavailable", service="storage", times=1)
    with pytest.raises(GenericError, match="503"):
        obstore.put(objects, "a", b"one")
    with pytest.raises(FileNotFoundError):
        obstore.head(objects, "a")
    storing.fail("objects.insert", service="storage", cut=True, after=True, times=1)
    with pytest.raises(GenericError):
        obstore.put(objects, "a", b"one")
    assert obstore.head(objects, "a")["size"] == 3
    assert storing.calls("objects.insert", "storage") == 2

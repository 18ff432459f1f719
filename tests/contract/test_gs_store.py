"""Cloud Storage under the suite of all stores: its emulated XML API, reached as a project's store is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.lending import GsAccess, store_access
from dstack_cloud.storage.store import ObjectStore, open_store
from tests.contract.test_store import StoreContract
from tests.fakes.gcp import GoogleCloud
from tests.unit.gcp.conftest import write_key

pytestmark = [pytest.mark.google, pytest.mark.seaweed]

BUCKET = "first-bucket"
PATIENCE = 5.0


@pytest.fixture(scope="module")
def storing() -> Iterator[GoogleCloud]:
    with GoogleCloud(store=True) as cloud:
        cloud.make_bucket(BUCKET)
        yield cloud


@pytest.fixture(scope="module")
def login_file(storing: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_key(tmp_path_factory.mktemp("login"), storing.key_file())


@pytest.fixture
def access(storing: GoogleCloud, login_file: str) -> GsAccess:
    config = GcpConfig(credentials=login_file, endpoint=storing.endpoint)
    return store_access(config, f"gs://{BUCKET}/{uuid.uuid4().hex}", {"base_url": storing.store})


def opened(access: GsAccess, credentials: object = None) -> ObjectStore:
    return open_store(
        access.url, options=access.options, credentials=credentials or access.credentials, patience=PATIENCE
    )


class TestGoogle(StoreContract):
    @pytest.fixture
    def store(self, access: GsAccess) -> ObjectStore:
        return opened(access)

    def test_copies_within_the_store(self, store: ObjectStore) -> None:
        store.put("a/b", b"1")
        store.copy("a/b", "c d")
        assert store.get("c d") == b"1"

    def test_tokens_that_run_out_are_replaced(self, store: ObjectStore, storing: GoogleCloud) -> None:
        store.put("a", b"1")
        storing.expire_tokens()
        with pytest.raises(errors.StoreError):
            store.get("a")


def test_what_is_lent_is_good_for_its_prefixes_only(access: GsAccess) -> None:
    own = opened(access)
    own.put("code/c", b"code")
    own.put("runs/b-1/x", b"other")
    lent = access.lend(["runs/a-1/"], 3600, ["code/"])
    assert lent
    there = opened(access, lambda: {**lent, "expires_at": None})
    there.put("runs/a-1/x", b"1")
    assert there.get("runs/a-1/x") == b"1" and there.get("code/c") == b"code"
    assert [info.key for info in there.list("runs/a-1/")] == ["runs/a-1/x"]
    there.delete(["runs/a-1/x"])
    for refused in (
        lambda: there.get("runs/b-1/x"),
        lambda: there.put("code/c", b"changed"),
        lambda: list(there.list("")),
    ):
        with pytest.raises(errors.StoreError) as caught:
            refused()
        assert "storage.objectUser" in str(caught.value.hint)
    assert own.get("code/c") == b"code"


def test_nothing_is_lent_where_it_can_not_be_narrowed(access: GsAccess, login_file: str) -> None:
    assert access.lend([f"p{number}/" for number in range(99)], 3600) is None
    elsewhere = store_access(
        GcpConfig(credentials=login_file), "gs://bucket", {"base_url": "https://storage.example.com"}
    )
    assert elsewhere.foreign and elsewhere.lend(["a/"], 3600) is None
    assert not store_access(GcpConfig(credentials=login_file), "gs://bucket", {}).foreign


def test_a_login_that_is_over_lends_nothing_and_says_why(storing: GoogleCloud, tmp_path) -> None:
    gone = {**storing.key_file(), "client_email": "gone@p.iam.gserviceaccount.com"}
    config = GcpConfig(credentials=write_key(tmp_path, gone), endpoint=storing.endpoint)
    access = store_access(config, f"gs://{BUCKET}", {"base_url": storing.store})
    assert access.lend(["a/"], 3600) is None
    with pytest.raises(errors.StoreError, match="expired or were taken back") as caught:
        opened(access).get("a")
    assert "gcloud auth" in str(caught.value.hint)


@pytest.mark.parametrize("bucket", ["no-such-bucket", BUCKET])
def test_a_bucket_that_is_missing_or_may_not_be_used(storing: GoogleCloud, tmp_path, bucket: str) -> None:
    nobody = storing.restricted(f"nobody-{uuid.uuid4().hex[:6]}", ["compute.instances.list"])
    config = GcpConfig(credentials=write_key(tmp_path, nobody))
    store = opened(store_access(config, f"gs://{bucket}", {"base_url": storing.store, "allow_http": "true"}))
    with pytest.raises(errors.StoreError) as caught:
        store.put("a", b"1")
    assert bucket in caught.value.summary
    assert "aws" not in str(caught.value.hint).lower() and "s3:" not in str(caught.value.hint)

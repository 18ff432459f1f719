"""What is lent of a store on S3 opens a job's own prefixes and nothing else: the emulated AWS refuses by the lent policy itself."""

from __future__ import annotations

import uuid

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.lending import S3Access, store_access
from dstack_cloud.storage.store import ObjectStore, open_store
from tests.fakes.aws import MotoCloud
from tests.unit.aws.conftest import cloud, config, running_cloud

__all__ = ["cloud", "config", "running_cloud"]  # fixtures

pytestmark = pytest.mark.moto

PATIENCE = 5.0


@pytest.fixture
def access(config: AwsConfig, cloud: MotoCloud) -> S3Access:
    bucket = f"lent-{uuid.uuid4().hex[:12]}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    return store_access(config, f"s3://{bucket}/team", {})


def opened(access: S3Access, credentials: object = None) -> ObjectStore:
    return open_store(
        access.url, options=access.options, credentials=credentials or access.credentials, patience=PATIENCE
    )


def lent(access: S3Access, prefixes: list[str], reads: list[str]) -> ObjectStore:
    given = access.lend(prefixes, 3600, reads)
    assert given
    return opened(access, lambda: {**given, "expires_at": None})


def test_what_is_lent_is_good_for_its_prefixes_only(access: S3Access) -> None:
    own = opened(access)
    own.put("code/c", b"code")
    own.put("runs/a-10/x", b"another job's")
    there = lent(access, ["runs/a-1/"], ["code/"])
    there.put("runs/a-1/x", b"1")
    there.copy("runs/a-1/x", "runs/a-1/y")
    assert there.get("runs/a-1/y") == b"1" and there.get("code/c") == b"code"
    assert [info.key for info in there.list("runs/a-1/")] == ["runs/a-1/x", "runs/a-1/y"]
    there.delete(["runs/a-1/x", "runs/a-1/y"])
    for refused in (
        lambda: there.get("runs/a-10/x"),
        lambda: there.put("runs/a-10/x", b"changed"),
        lambda: there.put("code/c", b"changed"),
        lambda: there.copy("runs/a-10/x", "runs/a-1/stolen"),
        lambda: list(there.list("")),
        lambda: there.delete(["code/c"]),
    ):
        with pytest.raises(errors.StoreError):
            refused()
    assert (own.get("code/c"), own.get("runs/a-10/x")) == (b"code", b"another job's")


def test_what_is_lent_to_one_job_opens_nothing_of_another(access: S3Access) -> None:
    first, second = lent(access, ["runs/a-1/"], []), lent(access, ["runs/b-1/"], [])
    first.put("runs/a-1/x", b"1")
    second.put("runs/b-1/x", b"2")
    with pytest.raises(errors.StoreError):
        second.get("runs/a-1/x")
    with pytest.raises(errors.StoreError):
        first.get("runs/b-1/x")


def test_a_star_in_a_name_opens_no_other(access: S3Access) -> None:
    opened(access).put("runs/ab/x", b"1")
    star = lent(access, ["runs/a*/"], [])
    with pytest.raises(errors.StoreError):
        star.get("runs/ab/x")

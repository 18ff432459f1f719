"""Fixtures for tests on the emulated AWS. A module or conftest that uses them imports them all:

    from tests.fakes.aws.fixtures import any_moto, any_whole_cloud, bucket, cloud, moto  # noqa: F401

However many do, each kind of cloud is started once a session, when it is first asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.fakes.aws.cloud import MotoCloud
from tests.fakes.shared import Shared

_clouds = Shared(lambda whole: MotoCloud(machines=whole, store=whole))


@pytest.fixture(scope="session")
def any_moto() -> Iterator[MotoCloud]:
    with _clouds.held(whole=False) as found:
        yield found


@pytest.fixture(scope="session")
def any_whole_cloud() -> Iterator[MotoCloud]:
    with _clouds.held(whole=True) as found:
        yield found


@pytest.fixture
def moto(any_moto: MotoCloud) -> Iterator[MotoCloud]:
    """AWS without machines: instances run, and nothing is behind them. As on its first day. Needs the marker `moto`."""
    yield any_moto
    any_moto.reset()


@pytest.fixture
def cloud(any_whole_cloud: MotoCloud) -> Iterator[MotoCloud]:
    """AWS with machines and an S3 server. As on its first day, but for S3. Needs the markers `moto`, `sandbox`, `seaweed`."""
    yield any_whole_cloud
    any_whole_cloud.reset()


@pytest.fixture
def bucket(cloud: MotoCloud) -> str:
    """A bucket of the test's own, in the cloud's S3 server."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    cloud.make_bucket(name)
    return name

"""Fixtures for tests on the emulated AWS. A module or conftest that uses them imports them all:

    from tests.fakes.aws.fixtures import any_moto, any_whole_cloud, bucket, cloud, moto  # noqa: F401

However many do, each kind of cloud is started once a session, when it is first asked for.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest

from tests.fakes.aws.cloud import MotoCloud

# by whether it is a whole one, with machines: the cloud that runs, and how many session fixtures hold it
_running: dict[bool, tuple[MotoCloud, int]] = {}


@contextlib.contextmanager
def _shared(whole: bool) -> Iterator[MotoCloud]:
    cloud, holders = _running.get(whole) or (MotoCloud(machines=whole, store=whole), 0)
    _running[whole] = cloud, holders + 1
    try:
        yield cloud
    finally:
        holders = _running[whole][1] - 1
        _running[whole] = cloud, holders
        if not holders:
            del _running[whole]
            cloud.close()


@pytest.fixture(scope="session")
def any_moto() -> Iterator[MotoCloud]:
    with _shared(whole=False) as found:
        yield found


@pytest.fixture(scope="session")
def any_whole_cloud() -> Iterator[MotoCloud]:
    with _shared(whole=True) as found:
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

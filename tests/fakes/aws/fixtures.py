"""Fixtures for every folder of tests (tests/conftest.py names them). Each cloud is started once a session, when first asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.fakes.aws.cloud import MotoCloud


@pytest.fixture(scope="session")
def _moto() -> Iterator[MotoCloud]:
    with MotoCloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def _whole_cloud() -> Iterator[MotoCloud]:
    with MotoCloud(machines=True, store=True) as cloud:
        yield cloud


@pytest.fixture
def moto(_moto: MotoCloud) -> Iterator[MotoCloud]:
    """AWS without machines: instances run, and nothing is behind them. As on its first day. Needs the marker `moto`."""
    yield _moto
    _moto.reset()


@pytest.fixture
def cloud(_whole_cloud: MotoCloud) -> Iterator[MotoCloud]:
    """AWS with machines and an S3 server. As on its first day, but for S3. Needs the markers `moto`, `sandbox`, `seaweed`."""
    yield _whole_cloud
    _whole_cloud.reset()


@pytest.fixture
def bucket(cloud: MotoCloud) -> str:
    """A bucket of the test's own, in the cloud's S3 server."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    cloud.make_bucket(name)
    return name

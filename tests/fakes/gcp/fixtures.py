"""Fixtures for tests on the emulated Google Cloud. A module or conftest that uses them imports them all:

    from tests.fakes.gcp.fixtures import any_google, any_whole_google, google, google_bucket, google_cloud  # noqa: F401

However many do, each kind of cloud is started once a session, when it is first asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.fakes.gcp.cloud import GoogleCloud
from tests.fakes.shared import Shared

_clouds = Shared(lambda whole: GoogleCloud(machines=whole, store=whole))


@pytest.fixture(scope="session")
def any_google() -> Iterator[GoogleCloud]:
    with _clouds.held(whole=False) as found:
        yield found


@pytest.fixture(scope="session")
def any_whole_google() -> Iterator[GoogleCloud]:
    with _clouds.held(whole=True) as found:
        yield found


@pytest.fixture
def google(any_google: GoogleCloud) -> Iterator[GoogleCloud]:
    """Google Cloud without machines: instances run, and nothing is behind them. As on its first day. Needs the marker `google`."""
    yield any_google
    any_google.reset()


@pytest.fixture
def google_cloud(any_whole_google: GoogleCloud) -> Iterator[GoogleCloud]:
    """With machines and Cloud Storage. As on its first day, but for what is stored. Needs the markers `google`, `sandbox`, `seaweed`."""
    yield any_whole_google
    any_whole_google.reset()


@pytest.fixture
def google_bucket(google_cloud: GoogleCloud) -> str:
    """A bucket of the test's own, in that cloud's storage."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    google_cloud.make_bucket(name)
    return name

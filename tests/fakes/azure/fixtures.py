"""Fixtures for tests on the emulated Azure. A module or conftest that uses them imports them all:

    from tests.fakes.azure.fixtures import any_azure, any_whole_azure, azure, whole_azure  # noqa: F401

However many do, each kind of cloud is started once a session, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.azure.cloud import AzureCloud
from tests.fakes.shared import Shared
from tests.needs import lacks_azurite

_clouds = Shared(lambda whole: AzureCloud(machines=whole, store=whole or not lacks_azurite()))


@pytest.fixture(scope="session")
def any_azure() -> Iterator[AzureCloud]:
    with _clouds.held(whole=False) as found:
        yield found


@pytest.fixture(scope="session")
def any_whole_azure() -> Iterator[AzureCloud]:
    with _clouds.held(whole=True) as found:
        yield found


@pytest.fixture
def azure(any_azure: AzureCloud) -> Iterator[AzureCloud]:
    """Azure without machines: they run, and nothing is behind them; with Azurite where that is installed. As on its first day, but
    for Blob. Needs the marker `azure`."""
    yield any_azure
    any_azure.reset()


@pytest.fixture
def whole_azure(any_whole_azure: AzureCloud) -> Iterator[AzureCloud]:
    """Azure with machines and Azurite. As on its first day, but for Blob. Needs the markers `azure`, `sandbox`, `azurite`."""
    yield any_whole_azure
    any_whole_azure.reset()

"""The Azure backend under the suite of all backends, on virtual machines with machines behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import AzureConfig
from tests.contract.test_backend import BackendContract
from tests.e2e.azure import TYPE
from tests.e2e.conftest import until
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.fakes.azure.fixtures import any_whole_azure, whole_azure
from tests.unit.azure.conftest import least, write_principal

__all__ = ["any_whole_azure", "whole_azure"]  # fixtures


@pytest.mark.azure
@pytest.mark.azurite
@pytest.mark.sandbox
class TestAzureWithMachines(BackendContract):
    @pytest.fixture
    def backend(self, whole_azure: AzureCloud, tmp_path: Path) -> Iterator[AzureBackend]:
        config = AzureConfig(
            endpoint=whole_azure.endpoint,
            service_principal=write_principal(tmp_path / "principal.json", whole_azure),
            regions=(LOCATION,),
            instance_types=(TYPE,),
        )
        backend = AzureBackend(least(config, whole_azure), tmp_path, uuid.uuid4().hex, "python:{python}")
        yield backend
        backend.terminate([owned.ref for owned in backend.list_owned()])
        until(lambda: whole_azure.held() == [])

"""The GCP backend under the suite of all backends, on instances with machines behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from tests.contract.test_backend import BackendContract
from tests.e2e.conftest import until
from tests.e2e.google import TYPE
from tests.fakes.gcp import REGION, GoogleCloud
from tests.fakes.gcp.fixtures import any_whole_google, google_cloud
from tests.fakes.gcp.least import least_key
from tests.unit.gcp.conftest import write_key

__all__ = ["any_whole_google", "google_cloud"]  # fixtures


@pytest.mark.google
@pytest.mark.sandbox
@pytest.mark.seaweed
class TestGcpWithMachines(BackendContract):
    @pytest.fixture
    def backend(self, google_cloud: GoogleCloud, tmp_path: Path) -> Iterator[GcpBackend]:
        config = GcpConfig(endpoint=google_cloud.endpoint, regions=(REGION,), instance_types=(TYPE,))
        key = write_key(tmp_path, least_key(google_cloud, config))
        backend = GcpBackend(
            config.model_copy(update={"credentials": key}), tmp_path, uuid.uuid4().hex, "python:{python}"
        )
        yield backend
        backend.terminate([owned.ref for owned in backend.list_owned()])
        until(lambda: google_cloud.held() == [])

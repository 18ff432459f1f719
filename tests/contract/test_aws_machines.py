"""The AWS backend under the suite of all backends, on instances with machines behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig
from tests.contract.test_backend import BackendContract
from tests.e2e.amazon import TYPE, write_credentials
from tests.e2e.conftest import until
from tests.fakes.aws import REGION, MotoCloud
from tests.fakes.aws.fixtures import any_whole_cloud, cloud

__all__ = ["any_whole_cloud", "cloud"]  # fixtures


@pytest.mark.moto
@pytest.mark.sandbox
@pytest.mark.seaweed
class TestAwsWithMachines(BackendContract):
    @pytest.fixture
    def backend(self, cloud: MotoCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsBackend]:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(write_credentials(tmp_path)))
        config = AwsConfig(endpoint=cloud.endpoint, regions=(REGION,), instance_types=(TYPE,))
        backend = AwsBackend(config, tmp_path, uuid.uuid4().hex, "python:{python}")
        yield backend
        backend.terminate([owned.ref for owned in backend.list_owned()])
        until(lambda: cloud.held() == [])

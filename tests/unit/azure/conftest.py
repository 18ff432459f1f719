"""The emulated Azure, and a service principal's file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.policy import least_permissions
from dstack_cloud.backends.base import Launch
from dstack_cloud.domain.resources import Requirements, SpotPolicy
from tests.fakes.azure.cloud import LOCATION, AzureCloud


def write_principal(path: Path, cloud: AzureCloud, client: str = "", secret: str = "") -> str:
    """A file as `az ad sp create-for-rbac` prints it."""
    known = {"appId": client or cloud.client, "password": secret or cloud.secret, "tenant": cloud.tenant}
    path.write_text(json.dumps(known))
    return str(path)


def least(config: AzureConfig, cloud: AzureCloud, store: str = "") -> AzureConfig:
    """With a login that may do what `dstack config permissions azure` prints, and nothing else."""
    role = json.loads(least_permissions(config, cloud.subscription, store))
    assert role["AssignableScopes"] == [f"/subscriptions/{cloud.subscription}"]
    client = cloud.add_client(*role["Actions"], data=role["DataActions"])
    path = Path(config.service_principal)
    principal = write_principal(path.with_name(f"{path.stem}-least.json"), cloud, client)
    return config.model_copy(update={"service_principal": principal})


@pytest.fixture(scope="session")
def running_cloud() -> Iterator[AzureCloud]:
    with AzureCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: AzureCloud) -> AzureCloud:
    """As on the first day."""
    running_cloud.reset()
    return running_cloud


@pytest.fixture
def config(cloud: AzureCloud, tmp_path: Path) -> AzureConfig:
    return AzureConfig(
        endpoint=cloud.endpoint,
        service_principal=write_principal(tmp_path / "principal.json", cloud),
        subscription=cloud.subscription,
        regions=(LOCATION,),
    )


@pytest.fixture
def client(config: AzureConfig) -> AzureClient:
    return AzureClient(config)


@pytest.fixture
def installation() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def backend(config: AzureConfig, installation: str, tmp_path: Path) -> AzureBackend:
    return AzureBackend(config, tmp_path, installation, "python:{python}")


@pytest.fixture
def launch(backend: AzureBackend) -> Launch:
    return Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0])


@pytest.fixture
def spot(backend: AzureBackend) -> Launch:
    return Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0])

"""NVIDIA's driver on machines whose image has none."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import UBUNTU, AzureConfig, Images
from dstack_cloud.backends.azure.resources.driver import GRACE_SECONDS, NAME
from dstack_cloud.backends.azure.resources.policy import needed_permissions
from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.domain.resources import GpuRequirement, Requirements
from tests.fakes.azure.cloud import AzureCloud
from tests.unit.azure.conftest import least

pytestmark = pytest.mark.azure

INSTALL = "virtual_machine_extensions.create_or_update"
PATIENCE = 10


@pytest.fixture
def stock(config: AzureConfig, backend: AzureBackend, cloud: AzureCloud, installation: str) -> AzureBackend:
    """A backend whose machines with GPUs boot Ubuntu as it comes; it may do the least that this takes."""
    plain = config.model_copy(update={"images": Images(gpu=UBUNTU)})
    return AzureBackend(least(plain, cloud), backend.home, installation, "")


@pytest.fixture
def ref(stock: AzureBackend) -> str:
    return stock.create(Launch(key="g", offer=stock.offers(Requirements(gpu=GpuRequirement(name="T4")))[0]))


def settled(backend: AzureBackend, ref: str) -> Observed:
    deadline = time.monotonic() + PATIENCE
    while (seen := backend.inspect([ref])[ref]).health is Health.STARTING:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def test_a_machine_is_reached_once_its_driver_is_there(stock: AzureBackend, ref: str, cloud: AzureCloud) -> None:
    cloud.set(operation_seconds=0.3)
    seen = stock.inspect([ref])[ref]
    assert (seen.health, seen.endpoint, seen.grace) == (Health.STARTING, "", GRACE_SECONDS)
    seen = settled(stock, ref)
    assert (seen.health, seen.grace) == (Health.RUNNING, GRACE_SECONDS)
    asked = cloud.calls("virtual_machine_extensions")
    assert stock.inspect([ref])[ref].health is Health.RUNNING
    assert (cloud.calls(INSTALL), cloud.calls("virtual_machine_extensions")) == (1, asked)


def test_what_is_installed_is_azures_own(stock: AzureBackend, ref: str) -> None:
    settled(stock, ref)
    group = stock._groups.name(ref.partition("/")[0])
    extensions = stock._client.compute().virtual_machine_extensions
    found = extensions.get(group, ref.partition("/")[2], NAME).as_dict()["properties"]
    assert (found["publisher"], found["type"]) == ("Microsoft.HpcCompute", "NvidiaGpuDriverLinux")


@pytest.mark.parametrize("later", [True, False])
def test_a_driver_that_can_not_be_installed_ends_the_machine(
    stock: AzureBackend, ref: str, cloud: AzureCloud, later: bool
) -> None:
    message = "dpkg was interrupted\nand more" if later else "may not perform action 'Microsoft.Compute/x/write'"
    cloud.fail(
        INSTALL, "VMExtensionProvisioningError" if later else "AuthorizationFailed", later=later, message=message
    )
    seen = settled(stock, ref)
    assert seen.health is Health.STOPPED
    assert "NVIDIA's driver couldn't be installed" in seen.detail and "`images.gpu`" in seen.detail
    assert ("dpkg was interrupted" if later else "the permission") in seen.detail
    assert "and more" not in seen.detail


@pytest.mark.parametrize("code", ["Conflict", "ServiceUnavailable", "TooManyRequests"])
def test_what_is_refused_for_now_is_asked_for_again(
    stock: AzureBackend, ref: str, cloud: AzureCloud, code: str
) -> None:
    cloud.fail(INSTALL, code, times=3)
    assert stock.inspect([ref])[ref].health is Health.STARTING
    assert settled(stock, ref).health is Health.RUNNING


def test_a_server_that_starts_anew_installs_nothing_twice(
    stock: AzureBackend, ref: str, cloud: AzureCloud, installation: str
) -> None:
    settled(stock, ref)
    again = AzureBackend(stock._config, stock.home, installation, "")
    assert (settled(again, ref).health, cloud.calls(INSTALL)) == (Health.RUNNING, 1)


def test_other_machines_have_nothing_to_do_with_it(
    stock: AzureBackend, backend: AzureBackend, launch: Launch, cloud: AzureCloud
) -> None:
    gpu = backend.offers(Requirements(gpu=GpuRequirement(name="T4")))[0]
    refs = {stock.create(launch): stock, backend.create(replace(launch, key="hpc", offer=gpu)): backend}
    for ref, of in refs.items():
        seen = of.inspect([ref])[ref]
        assert (seen.health, seen.grace) == (Health.RUNNING, 0)
    assert cloud.calls("virtual_machine_extensions") == 0


def test_its_permissions_are_asked_for_only_where_it_is_needed() -> None:
    needed = [
        set(needed_permissions(AzureConfig(images=Images(gpu=urn)))) for urn in (UBUNTU, "microsoft-dsvm:a:b:latest")
    ]
    assert needed[0] - needed[1] == {
        f"Microsoft.Compute/virtualMachines/extensions/{verb}" for verb in ("read", "write")
    }

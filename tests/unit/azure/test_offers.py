"""What Azure's lists become, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.offers import catalogue
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import InvalidConfiguration
from tests.fakes.azure.cloud import LOCATION, AzureCloud

pytestmark = pytest.mark.azure

T4 = Requirements(gpu=GpuRequirement(name="T4"), spot_policy=SpotPolicy.AUTO)


def test_a_gpu_with_its_name_its_memory_and_both_prices(backend: AzureBackend) -> None:
    spot, *others = [offer for offer in backend.offers(T4) if offer.instance_type == "Standard_NC4as_T4_v3"]
    assert (spot.machine.gpus[0].name, spot.machine.gpus[0].memory, spot.machine.cpu) == ("T4", 16 * 2**30, 4)
    on_demand = [offer for offer in others if not offer.spot]
    assert {offer.zone for offer in on_demand} == {"1", "2", "3"}
    assert spot.spot and on_demand[0].price == 0.526
    assert spot.price and spot.price < 0.2


def test_what_can_not_be_used_is_left_out(client: AzureClient) -> None:
    found = catalogue.types(client, LOCATION)
    assert not any("ps_v5" in name for name in found), "another architecture"
    assert not any("A10_v5" in name for name in found), "wants a driver that no image has"
    assert "Standard_ND96isr_H100_v5" in found
    assert "Standard_ND96isr_H100_v5" not in catalogue.types(client, "southcentralus"), "not for this subscription"


def test_with_an_image_of_ones_own_virtual_gpus_are_offered(config: AzureConfig) -> None:
    images = config.images.model_copy(update={"gpu": "me:mine:grid:1.0.0"})
    found = catalogue.types(AzureClient(config.model_copy(update={"images": images})), LOCATION)
    assert any("A10_v5" in name for name in found)


def test_only_sizes_that_are_named(config: AzureConfig) -> None:
    named = config.model_copy(update={"instance_types": ("standard_d*s_v5",)})
    assert set(catalogue.types(AzureClient(named), LOCATION)) >= {"Standard_D2s_v5", "Standard_D64s_v5"}
    assert all(name.startswith("Standard_D") for name in catalogue.types(AzureClient(named), LOCATION))


def test_a_region_without_zones(config: AzureConfig, tmp_path: Path) -> None:
    there = AzureBackend(config.model_copy(update={"regions": ("northcentralus",)}), tmp_path, "me", "")
    assert {offer.zone for offer in there.offers(Requirements())} == {""}


def test_prices_that_can_not_be_read_are_unknown_and_last(backend: AzureBackend, cloud: AzureCloud) -> None:
    cloud.fail("retail_prices.list", "ServiceUnavailable")
    offers = backend.offers(Requirements())
    assert {offer.price for offer in offers} == {None}
    with pytest.raises(InvalidConfiguration, match="no price is known"):
        backend.offers(Requirements(max_price=1.0))


def test_what_was_read_is_kept(
    backend: AzureBackend, config: AzureConfig, installation: str, cloud: AzureCloud
) -> None:
    before = backend.offers(Requirements())
    asked = cloud.calls("resource_skus"), cloud.calls("retail_prices")
    again = AzureBackend(config, backend.home, installation, "python:{python}")
    assert again.offers(Requirements()) == before
    assert (cloud.calls("resource_skus"), cloud.calls("retail_prices")) == asked
    assert again.priced_at()


def test_a_region_that_is_not_there_is_named(config: AzureConfig, tmp_path: Path) -> None:
    nowhere = AzureBackend(config.model_copy(update={"regions": ("atlantis",)}), tmp_path, "me", "")
    with pytest.raises(InvalidConfiguration, match="no region atlantis") as refused:
        nowhere.offers(Requirements())
    assert "list-locations" in (refused.value.hint or "")
    both = AzureBackend(config.model_copy(update={"regions": ("atlantis", LOCATION)}), tmp_path / "both", "me", "")
    assert {offer.region for offer in both.offers(Requirements())} == {LOCATION}

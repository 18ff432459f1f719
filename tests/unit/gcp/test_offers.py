"""What is offered, from the emulated lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.domain.resources import GpuRequirement, Offer, Requirements, SpotPolicy
from dstack_cloud.errors import BackendError, InvalidConfiguration
from tests.fakes.gcp import GoogleCloud

pytestmark = pytest.mark.google
GIB = 2**30


def with_gpu(backend: GcpBackend, name: str, count: int = 1, **more: object) -> list[Offer]:
    wanted = {"gpu": GpuRequirement(name=name, count=count), "spot_policy": SpotPolicy.AUTO, **more}
    return backend.offers(Requirements.model_validate(wanted))


def test_the_cheapest_comes_first_and_spot_costs_less(backend: GcpBackend) -> None:
    offers = backend.offers(Requirements(cpu=2, spot_policy=SpotPolicy.AUTO))
    prices = [offer.price for offer in offers]
    assert prices == sorted(price for price in prices if price is not None)
    assert offers[0].spot and {offer.spot for offer in offers} == {True, False}


def test_gpus_are_attached_where_there_are_any(backend: GcpBackend) -> None:
    offers = with_gpu(backend, "T4", 2)
    assert {offer.instance_type for offer in offers} == {
        "n1-standard-4+2xnvidia-tesla-t4",
        "n1-standard-4+4xnvidia-tesla-t4",
    }
    # us-central1-c has no T4
    assert {offer.zone for offer in offers} == {"us-central1-a", "us-central1-b", "us-central1-f"}
    assert all(len(offer.machine.gpus) >= 2 and offer.machine.gpus[0].memory == 16 * GIB for offer in offers)


@pytest.mark.parametrize(
    ("name", "instance_type", "memory"),
    [("L4", "g2-standard-4", 24), ("A100", "a2-highgpu-1g", 40), ("V100", "n1-standard-4+1xnvidia-tesla-v100", 16)],
)
def test_gpus_are_found_by_the_name_that_people_use(
    backend: GcpBackend, name: str, instance_type: str, memory: int
) -> None:
    offer = with_gpu(backend, name)[0]
    assert (offer.instance_type, offer.machine.gpus[0].memory) == (instance_type, memory * GIB)
    assert offer.price is not None


def test_what_can_only_be_had_as_spot_is_not_offered_otherwise(backend: GcpBackend) -> None:
    assert {offer.spot for offer in with_gpu(backend, "H100")} == {True}
    with pytest.raises(InvalidConfiguration, match="needs on-demand"):
        with_gpu(backend, "H100", spot_policy=SpotPolicy.ON_DEMAND)


def test_prices_that_can_not_be_read_are_unknown_and_nothing_else_is_lost(
    backend: GcpBackend, google: GoogleCloud
) -> None:
    google.fail("services.skus.list", "forbidden", service="cloudbilling")
    offers = backend.offers(Requirements())
    assert offers and {offer.price for offer in offers} == {None}
    assert backend._market.ages() == {"us-central1": "unknown"}
    with pytest.raises(InvalidConfiguration, match="no price is known"):
        backend.offers(Requirements(max_price=1.0))


def test_one_region_that_fails_does_not_spoil_the_others(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    google.fail("machineTypes.list", "forbidden", zone="us-east1-b")
    both = config.model_copy(update={"regions": ("us-central1", "us-east1")})
    offers = GcpBackend(both, tmp_path, "me", "").offers(Requirements())
    assert {offer.region for offer in offers} == {"us-central1"}
    with pytest.raises(BackendError, match="us-east1"):
        GcpBackend(config.model_copy(update={"regions": ("us-east1",)}), tmp_path, "me", "").offers(Requirements())


def test_a_region_that_there_is_not(config: GcpConfig, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="mars-north1"):
        GcpBackend(config.model_copy(update={"regions": ("mars-north1",)}), tmp_path, "me", "").offers(Requirements())
    with pytest.raises(InvalidConfiguration, match="no GCP region"):
        GcpBackend(config.model_copy(update={"regions": ()}), tmp_path, "me", "").offers(Requirements())


def test_a_quota_of_no_gpus_anywhere_is_told_before_one_is_tried(backend: GcpBackend, google: GoogleCloud) -> None:
    google.set(quotas={"GPUS_ALL_REGIONS": 0})
    with pytest.raises(InvalidConfiguration, match="GPUS_ALL_REGIONS is 0") as caught:
        with_gpu(backend, "T4")
    assert caught.value.hint and "no region" in caught.value.hint
    assert backend.offers(Requirements())


def test_a_region_without_the_gpu_says_what_comes_closest(config: GcpConfig, tmp_path: Path) -> None:
    elsewhere = GcpBackend(config.model_copy(update={"regions": ("us-east4",)}), tmp_path, "me", "")
    with pytest.raises(InvalidConfiguration, match="needs 1 V100 GPU"):
        with_gpu(elsewhere, "V100")


def test_what_was_learnt_is_not_asked_again(backend: GcpBackend, google: GoogleCloud, config: GcpConfig) -> None:
    first = backend.offers(Requirements())
    calls = google.calls("machineTypes.list"), google.calls("services.skus.list", "cloudbilling")
    again = GcpBackend(config, backend.home, "me", "")
    assert again.offers(Requirements()) == first
    assert (google.calls("machineTypes.list"), google.calls("services.skus.list", "cloudbilling")) == calls
    assert backend.priced_at() == again.priced_at() is not None

from __future__ import annotations

import re

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.offers import catalogue
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized
from tests.fakes.aws import REGION, MotoCloud, prices

GIB = 2**30


def test_cheapest_first_with_the_prices_of_now(backend: AwsBackend) -> None:
    offers = backend.offers(Requirements(spot_policy=SpotPolicy.AUTO))
    assert [offer.sort_key for offer in offers] == sorted(offer.sort_key for offer in offers)
    for offer in offers:
        at_spot, by_the_hour = prices.spot(offer.instance_type, offer.zone), prices.on_demand(offer.instance_type)
        assert offer.price == pytest.approx(at_spot if offer.spot else by_the_hour)
    assert {offer.spot for offer in offers} == {True, False}


@pytest.mark.parametrize(
    ("requirements", "types"),
    [
        (Requirements(), {"t3.small", "t3.medium", "m5.large"}),
        (Requirements(memory=3 * GIB), {"t3.medium", "m5.large"}),
        (Requirements(gpu=GpuRequirement()), {"g4dn.xlarge", "g4dn.12xlarge"}),
        (Requirements(gpu=GpuRequirement(name="t4", count=4)), {"g4dn.12xlarge"}),
        (Requirements(instance_types=("g4dn.xlarge",)), {"g4dn.xlarge"}),
    ],
)
def test_what_fits_is_offered(backend: AwsBackend, requirements: Requirements, types: set[str]) -> None:
    assert {offer.instance_type for offer in backend.offers(requirements)} == types


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (Requirements(cpu=100), r"needs 100 CPUs, has 48 (g4dn.12xlarge comes closest)"),
        (Requirements(gpu=GpuRequirement(name="T4", count=5)), r"needs 5 T4 GPUs, has 4 (T4)"),
        (Requirements(regions=("mars-1",)), "needs one of the regions mars-1"),
        (Requirements(instance_types=("p5.48xlarge",)), "needs p5.48xlarge"),
        (Requirements(max_price=0.0001), r"needs at most $0.0001/h, the cheapest is $"),
    ],
)
def test_what_can_not_fit_is_refused_with_the_nearest(
    backend: AwsBackend, requirements: Requirements, reason: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=re.escape(reason)):
        backend.offers(requirements)


def test_without_a_price_list_prices_are_unknown_and_the_smallest_comes_first(
    backend: AwsBackend, cloud: MotoCloud
) -> None:
    cloud.fail("GetProducts", "AccessDeniedException", service="pricing")
    offers = backend.offers(Requirements())
    assert {offer.price for offer in offers} == {None}
    assert offers[0].instance_type == "t3.small"
    with pytest.raises(InvalidConfiguration, match="no price is known"):
        backend.offers(Requirements(max_price=1.0))


def test_what_was_learnt_is_not_asked_again(
    backend: AwsBackend, config: AwsConfig, installation: str, cloud: MotoCloud
) -> None:
    first = backend.offers(Requirements())
    asked = cloud.calls("DescribeInstanceTypes"), cloud.calls("DescribeSpotPriceHistory")
    assert backend.offers(Requirements()) == first
    again = AwsBackend(config, backend.home, installation, "")
    assert again.priced_at() is None
    assert again.offers(Requirements()) == first
    assert again.priced_at() == backend.priced_at() is not None
    assert (cloud.calls("DescribeInstanceTypes"), cloud.calls("DescribeSpotPriceHistory")) == asked == (1, 1)


def test_a_region_that_fails_does_not_spoil_the_others(
    config: AwsConfig, backend: AwsBackend, cloud: MotoCloud
) -> None:
    two = config.model_copy(update={"regions": (REGION, "eu-west-3")})
    both = AwsBackend(two, backend.home / "two", "me", "")
    cloud.fail("DescribeInstanceTypes", "AuthFailure", region="eu-west-3")
    assert {offer.region for offer in both.offers(Requirements())} == {REGION}
    cloud.fail("DescribeSubnets", "AuthFailure")
    neither = AwsBackend(two, backend.home / "neither", "me", "")
    with pytest.raises(NotAuthorized, match="doesn't accept the credentials there"):
        neither.offers(Requirements())


def test_all_of_ec2_can_be_read(config: AwsConfig) -> None:
    everything = AwsClient(config.model_copy(update={"instance_types": ()}))
    types = catalogue.types(everything, REGION)
    assert len(types) > 500
    assert types["p4d.24xlarge"]["gpus"] == [["A100", 40 * GIB]] * 8
    assert types["m5.metal"]["metal"] and types["g5.xlarge"]["nitro"] and not types["m3.medium"]["nitro"]
    assert "g5g.xlarge" not in types  # an ARM processor

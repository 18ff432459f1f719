from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.offers import offers, refuse
from dstack_cloud.domain.resources import GpuRequirement, Machine, Offer, Requirements, SpotPolicy
from dstack_cloud.errors import InvalidConfiguration, NoCapacity

pytestmark = pytest.mark.docker
SMALL = SandboxConfig(cpu=1, memory=2**29)
AUTO = Requirements(spot_policy=SpotPolicy.AUTO)
CLOUD = SandboxConfig.model_validate(
    {
        "zones": ["eu-west-3a", "eu-west-3b", "europe-west1-b"],
        "types": [
            {"name": "small", "cpu": 1, "memory": "512MiB", "price": 0.1, "spot_price": 0.03},
            {
                "name": "gpu",
                "cpu": 1,
                "memory": "512MiB",
                "price": 2,
                "gpus": {"name": "T4", "count": 2, "memory": "16GB"},
            },
        ],
    }
)


def test_one_offer_of_the_configured_size_for_nothing() -> None:
    (offer,) = offers(DockerClient(), SMALL, Requirements())
    assert (offer.machine.cpu, offer.machine.memory, offer.price, offer.spot) == (1, 2**29, 0.0, False)


def test_a_computer_offers_no_more_than_it_has() -> None:
    (offer,) = offers(DockerClient(), SandboxConfig(cpu=4096, memory=2**60), Requirements())
    info = DockerClient().get("/info")
    assert (offer.machine.cpu, offer.machine.memory) == (info["NCPU"], info["MemTotal"])


def test_a_spot_machine_comes_first_where_both_cost_nothing() -> None:
    found = offers(DockerClient(), SMALL, Requirements(spot_policy=SpotPolicy.SPOT))
    assert [offer.spot for offer in found] == [True, False]


def test_each_type_in_each_zone_of_both_kinds() -> None:
    found = offers(DockerClient(), CLOUD, AUTO)
    assert len({offer.key for offer in found}) == len(found) == 2 * 3 * 2
    assert {(offer.region, offer.zone) for offer in found} == {
        ("eu-west-3", "eu-west-3a"),
        ("eu-west-3", "eu-west-3b"),
        ("europe-west1", "europe-west1-b"),
    }
    prices = {(offer.instance_type, offer.spot): offer.price for offer in found}
    assert prices == {("small", True): 0.03, ("small", False): 0.1, ("gpu", True): 2.0, ("gpu", False): 2.0}


@pytest.mark.parametrize(
    ("wishes", "left"),
    [
        ({"spot_policy": SpotPolicy.SPOT, "instance_types": ("small",)}, 3),
        ({"regions": ("eu-west-3",), "instance_types": ("small",)}, 2),
        ({"max_price": 0.05, "spot_policy": SpotPolicy.AUTO}, 3),
        ({"gpu": GpuRequirement(name="T4", count=2)}, 3),
    ],
)
def test_wishes_choose(wishes: dict[str, Any], left: int) -> None:
    assert len(offers(DockerClient(), CLOUD, Requirements(**wishes))) == left


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (Requirements(cpu=2), "needs 2 CPUs, has 1"),
        (Requirements(memory=2**30), "needs 1.0 GiB of memory"),
        (Requirements(gpu=GpuRequirement()), "GPU"),
        (Requirements(python="3.8"), "needs Python 3.8"),
        (Requirements(regions=("eu-west-1",)), "eu-west-1"),
        (Requirements(instance_types=("p3.2xlarge",)), "p3.2xlarge"),
    ],
)
def test_what_can_never_fit_is_refused_with_the_reason(requirements: Requirements, reason: str) -> None:
    with pytest.raises(InvalidConfiguration, match=reason):
        offers(DockerClient(), SMALL, requirements)


def test_what_is_too_dear_is_refused_with_the_price() -> None:
    with pytest.raises(InvalidConfiguration, match=r"asks for 0.03"):
        offers(DockerClient(), CLOUD, Requirements(max_price=0.01))


def test_any_python_will_do_in_an_image_of_the_users() -> None:
    assert offers(DockerClient(), SMALL, Requirements(python="3.8", image="python:3.8"))


@pytest.mark.parametrize(
    ("sold_out", "refused"),
    [
        ("eu-west-3a", [True, True]),
        ("eu-west-3", [True, True]),
        ("small", [True, True]),
        ("spot/eu-west-3a", [True, False]),
        ("on-demand/small", [False, True]),
        ("spot/*", [True, False]),
        ("eu-west-3b", [False, False]),
    ],
)
def test_what_is_sold_out(sold_out: str, refused: list[bool]) -> None:
    found = []
    for spot in (True, False):
        machine = Machine(cpu=1, memory=1)
        place = {"region": "eu-west-3", "zone": "eu-west-3a", "instance_type": "small"}
        try:
            refuse(
                SandboxConfig(no_capacity=(sold_out,)), Offer(backend="sandbox", machine=machine, spot=spot, **place)
            )
            found.append(False)
        except NoCapacity as error:
            assert error.cloud_code == "InsufficientInstanceCapacity"
            found.append(True)
    assert found == refused


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="isn't a size"):
        SandboxConfig.model_validate({"types": [{"name": "x", "memory": "much"}]})


def test_more_nodes_than_the_quota_are_refused_before_anything_starts() -> None:
    with pytest.raises(InvalidConfiguration, match="needs 3 machines, and its quota is 2"):
        offers(DockerClient(), SMALL.model_copy(update={"quota": 2}), Requirements(nodes=3))

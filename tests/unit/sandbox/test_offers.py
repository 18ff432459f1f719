from __future__ import annotations

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.offers import offers
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import InvalidConfiguration

pytestmark = pytest.mark.docker
SMALL = SandboxConfig(cpu=1, memory=2**29)


def test_one_offer_of_the_configured_size_for_nothing() -> None:
    (offer,) = offers(DockerClient(), SMALL, Requirements())
    assert (offer.machine.cpu, offer.machine.memory, offer.price, offer.spot) == (1, 2**29, 0.0, False)


def test_a_computer_offers_no_more_than_it_has() -> None:
    (offer,) = offers(DockerClient(), SandboxConfig(cpu=4096, memory=2**60), Requirements())
    info = DockerClient().get("/info")
    assert (offer.machine.cpu, offer.machine.memory) == (info["NCPU"], info["MemTotal"])


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (Requirements(cpu=2), "needs 2 CPUs, has 1"),
        (Requirements(memory=2**30), "needs 1.0 GiB of memory"),
        (Requirements(gpu=GpuRequirement()), "GPU"),
        (Requirements(python="3.8"), "needs Python 3.8"),
        (Requirements(spot_policy=SpotPolicy.SPOT), "spot"),
        (Requirements(regions=("eu-west-1",)), "eu-west-1"),
        (Requirements(instance_types=("p3.2xlarge",)), "p3.2xlarge"),
    ],
)
def test_what_can_never_fit_is_refused_with_the_reason(requirements: Requirements, reason: str) -> None:
    with pytest.raises(InvalidConfiguration, match=reason):
        offers(DockerClient(), SMALL, requirements)


def test_any_python_will_do_in_an_image_of_the_users() -> None:
    assert offers(DockerClient(), SMALL, Requirements(python="3.8", image="python:3.8"))

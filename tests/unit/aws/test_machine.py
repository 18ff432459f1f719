from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.images import Image
from dstack_cloud.backends.aws.resources.machine import Place, observe, request, tags
from dstack_cloud.backends.aws.resources.network import Subnet
from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.domain.resources import Machine, Offer

PLACE = Place(Image("ami-1", "/dev/sda1", 8 * GIB), Subnet("subnet-1", "eu-west-3a", "vpc-1"), ("sg-1",), "")
OFFER = Offer(
    backend="aws",
    region="eu-west-3",
    zone="eu-west-3a",
    instance_type="t3.small",
    machine=Machine(cpu=2, memory=2 * GIB),
)


@pytest.mark.parametrize(("disk", "size"), [(None, 50), (10 * GIB, 50), (100 * GIB, 108), (100 * GIB + 1, 109)])
def test_a_job_gets_the_disk_it_asks_for_beside_the_image(disk: int | None, size: int) -> None:
    made = request(AwsConfig(), "me", Launch(key="k", offer=OFFER, disk=disk), PLACE)
    assert made["BlockDeviceMappings"][0].get("Ebs", {}).get("VolumeSize") == size


def test_an_image_that_fills_a_usual_disk_leaves_room_on_a_larger_one() -> None:
    large = replace(PLACE, image=replace(PLACE.image, size=50 * GIB))
    made = request(AwsConfig(), "me", Launch(key="k", offer=OFFER), large)
    assert made["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 100


def test_the_same_launch_is_the_same_request() -> None:
    launch = Launch(key="k", offer=OFFER, user_data="#cloud-config", lifetime=60.5, tags={"b": "1", "a": "2"})
    assert request(AwsConfig(), "me", launch, PLACE) == request(AwsConfig(), "me", launch, PLACE)


def test_a_machine_ends_itself_whatever_happens_here() -> None:
    made = request(AwsConfig(), "me", Launch(key="k", offer=OFFER), PLACE)
    assert made.get("InstanceInitiatedShutdownBehavior") == "terminate"
    assert made["BlockDeviceMappings"][0].get("Ebs", {}).get("DeleteOnTermination")
    assert made["NetworkInterfaces"][0].get("DeleteOnTermination")


def test_the_owner_can_not_be_set_by_a_tag() -> None:
    made = request(AwsConfig(), "me", Launch(key="k", offer=OFFER, tags={"dstack-owner": "other"}), PLACE)
    for each in made["TagSpecifications"]:
        assert {"Key": "dstack-owner", "Value": "me"} in each.get("Tags", [])


def test_tags_hold_only_what_aws_takes() -> None:
    assert tags({"run": 'a"b<c>\t😀 é_./=+-@:' + "x" * 300})[0]["Value"].startswith("a_b_c_\t_ é_./=+-@:x")  # type: ignore[typeddict-item]
    assert len(tags({"run": "x" * 300})[0]["Value"]) == 256  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("state", "code", "health", "detail"),
    [
        ("terminated", "Server.SpotInstanceTermination", Health.GONE, "a spot interruption"),
        ("shutting-down", "Client.InstanceInitiatedShutdown", Health.GONE, "it powered itself off"),
        ("stopped", "Brand.New", Health.STOPPED, "its own words"),
    ],
)
def test_why_a_machine_ended(state: str, code: str, health: Health, detail: str) -> None:
    seen = observe(
        AwsConfig(),
        "ref",
        {"State": {"Name": state}, "StateReason": {"Code": code, "Message": "its own words"}},  # type: ignore[typeddict-item]
    )
    assert (seen.health, seen.detail) == (health, detail)


@pytest.mark.parametrize(("public", "endpoint"), [(True, "ssh:dstack@1.2.3.4:22"), (False, "ssh:dstack@10.0.0.1:22")])
def test_where_a_machine_is_reached(public: bool, endpoint: str) -> None:
    seen = observe(
        AwsConfig(public_ip=public),
        "ref",
        {"State": {"Name": "running"}, "PublicIpAddress": "1.2.3.4", "PrivateIpAddress": "10.0.0.1"},  # type: ignore[typeddict-item]
    )
    assert (seen.health, seen.endpoint) == (Health.RUNNING, endpoint)

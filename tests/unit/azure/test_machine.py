"""The request for a machine, and what is seen of one."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.images import Image
from dstack_cloud.backends.azure.resources.machine import (
    Addresses,
    Place,
    failure_of,
    key_of,
    name_for,
    nobodys_key,
    observe,
    power_of,
    request,
)
from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.domain.resources import Machine, Offer

CONFIG = AzureConfig(regions=("eastus",))
OFFER = Offer(
    backend="azure", region="eastus", zone="2", instance_type="Standard_D2s_v5", machine=Machine(cpu=2, memory=8 * GIB)
)
LAUNCH = Launch(
    key="shady-1-0a1b2c3d4e", offer=OFFER, user_data="#cloud-config\n", lifetime=600, tags={"dstack-run": "shady-1"}
)
IMAGE = Image({"publisher": "Canonical", "offer": "o", "sku": "s", "version": "latest"}, 30 * GIB)
PLACE = Place(IMAGE, "/subscriptions/s/subnets/machines", "/subscriptions/s/identity")
REF = "eastus/dstack-shady-1-0a1b2c3d4e"
HERE = Addresses("10.213.0.4", "20.1.2.3")


def asked(launch: Launch = LAUNCH, config: AzureConfig = CONFIG, place: Place = PLACE) -> dict[str, Any]:
    return request(config, "me", launch, place)


def test_everything_that_comes_with_it_goes_with_it() -> None:
    properties = asked()["properties"]
    (nic,) = properties["networkProfile"]["networkInterfaceConfigurations"]
    (place,) = nic["properties"]["ipConfigurations"]
    disk, address = properties["storageProfile"]["osDisk"], place["properties"]["publicIPAddressConfiguration"]
    assert [each["deleteOption"] for each in (disk, nic["properties"], address["properties"])] == ["Delete"] * 3


def test_all_of_it_carries_the_tags() -> None:
    made = asked()
    (nic,) = made["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    address = nic["properties"]["ipConfigurations"][0]["properties"]["publicIPAddressConfiguration"]
    assert made["tags"] == nic["tags"] == address["tags"]
    assert made["tags"]["dstack-owner"] == "me"
    assert (key_of(made), made["tags"]["dstack-lifetime"]) == (LAUNCH.key, "600")


def test_the_same_launch_asks_for_the_same() -> None:
    assert asked() == asked()


def test_a_spot_machine_is_deleted_when_it_is_taken_back() -> None:
    properties = asked(replace(LAUNCH, offer=OFFER.model_copy(update={"spot": True})))["properties"]
    assert (properties["priority"], properties["evictionPolicy"]) == ("Spot", "Delete")
    assert properties["billingProfile"] == {"maxPrice": -1}
    assert "priority" not in asked()["properties"]


def test_the_user_data_goes_where_only_the_first_boot_reads_it() -> None:
    data = asked()["properties"]["osProfile"]["customData"]
    assert base64.b64decode(data) == b"#cloud-config\n"
    assert "customData" not in asked(replace(LAUNCH, user_data=""))["properties"]["osProfile"]


def test_nobody_can_log_in_with_the_key_that_azure_wants() -> None:
    kind, _, packed = nobodys_key("k").partition(" ")
    assert (kind, len(base64.b64decode(packed))) == ("ssh-ed25519", 51)
    assert nobodys_key("k") != nobodys_key("l")


def test_what_a_job_asks_for_comes_on_top_of_the_image() -> None:
    def size(disk: int | None) -> int:
        return int(asked(replace(LAUNCH, disk=disk))["properties"]["storageProfile"]["osDisk"]["diskSizeGB"])

    assert (size(None), size(100 * GIB)) == (60, 130)


def test_an_image_that_fills_most_of_a_disk_gets_a_larger_one() -> None:
    large = replace(PLACE, image=replace(IMAGE, size=64 * GIB))
    assert asked(place=large)["properties"]["storageProfile"]["osDisk"]["diskSizeGB"] == 128


def test_without_a_zone_an_identity_or_an_address() -> None:
    anywhere = replace(LAUNCH, offer=OFFER.model_copy(update={"zone": ""}))
    made = asked(anywhere, AzureConfig(public_ip=False), replace(PLACE, identity=""))
    (nic,) = made["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    assert not {"zones", "identity", "plan"} & made.keys()
    assert "publicIPAddressConfiguration" not in nic["properties"]["ipConfigurations"][0]["properties"]


@pytest.mark.parametrize("key", ["shady-1-0a1b2c3d4e", "A Key/with everything", "x" * 200])
def test_a_name_is_one_that_azure_takes(key: str) -> None:
    name = name_for(key)
    assert len(name) <= 57
    assert name.startswith("dstack-")
    assert name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("state", "power", "addresses", "health"),
    [
        ("Creating", "", None, Health.STARTING),
        ("Creating", "starting", HERE, Health.STARTING),
        ("Creating", "running", HERE, Health.RUNNING),
        ("Succeeded", "running", None, Health.STARTING),
        ("Succeeded", "", HERE, Health.RUNNING),
        ("Updating", "", HERE, Health.STARTING),
        # it shuts down, and its runner saves what the job made
        ("Updating", "stopping", HERE, Health.RUNNING),
        ("Updating", "deallocating", HERE, Health.RUNNING),
        ("Succeeded", "stopped", HERE, Health.STOPPED),
        ("Succeeded", "deallocated", None, Health.STOPPED),
        ("Failed", "", HERE, Health.STOPPED),
        ("Failed", "stopped", HERE, Health.STOPPED),
        # a later change to it failed, and its job goes on
        ("Failed", "running", HERE, Health.RUNNING),
        ("Deleting", "running", HERE, Health.GONE),
    ],
)
def test_how_it_is(state: str, power: str, addresses: Addresses | None, health: Health) -> None:
    seen = observe(CONFIG, REF, {"properties": {"provisioningState": state}}, power, addresses)
    assert seen.health is health
    assert bool(seen.endpoint) is (health is Health.RUNNING)


def test_which_address_is_used() -> None:
    found = {"properties": {"provisioningState": "Succeeded"}}
    assert observe(CONFIG, REF, found, "running", HERE).endpoint == "ssh:dstack@20.1.2.3:22"
    inside = observe(AzureConfig(public_ip=False), REF, found, "running", HERE)
    assert (inside.endpoint, inside.address) == ("ssh:dstack@10.213.0.4:22", "10.213.0.4")


def test_why_it_could_not_be_made() -> None:
    statuses = [
        {"code": "ProvisioningState/failed/AllocationFailed", "message": "no place"},
        {"code": "PowerState/stopped"},
    ]
    found = {"properties": {"provisioningState": "Failed", "instanceView": {"statuses": statuses}}}
    assert failure_of(found) == {"code": "AllocationFailed", "message": "no place"}
    assert power_of(found) == "stopped"
    assert observe(CONFIG, REF, found, "", None).detail == "Azure couldn't make it: no place"

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from google.cloud import compute_v1

from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.images import Image
from dstack_cloud.backends.gcp.resources.machine import (
    Place,
    kin_of,
    labels,
    name_of,
    observe,
    prefix_of,
    request,
    request_id,
)
from dstack_cloud.domain.resources import Gpu, Machine, Offer

PLACE = Place(Image("projects/p/global/images/i", 10 * GIB), "projects/p/regions/r/subnetworks/s", ("tag",), "")
OFFER = Offer(
    backend="gcp",
    region="us-central1",
    zone="us-central1-a",
    instance_type="e2-standard-2",
    machine=Machine(cpu=2, memory=8 * GIB),
)
GPU_OFFER = OFFER.model_copy(
    update={
        "instance_type": "n1-standard-8+2xnvidia-tesla-t4",
        "machine": Machine(cpu=8, memory=30 * GIB, gpus=(Gpu(name="T4", memory=16 * GIB),) * 2),
    }
)
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(("disk", "size"), [(None, 50), (10 * GIB, 50), (100 * GIB, 110), (100 * GIB + 1, 111)])
def test_a_job_gets_the_disk_it_asks_for_beside_the_image(disk: int | None, size: int) -> None:
    made = request(GcpConfig(), "me", Launch(key="k", offer=OFFER, disk=disk), PLACE)
    assert made["disks"][0]["initialize_params"]["disk_size_gb"] == size


def test_an_image_that_fills_a_usual_disk_leaves_room_on_a_larger_one() -> None:
    large = replace(PLACE, image=replace(PLACE.image, size=50 * GIB))
    made = request(GcpConfig(), "me", Launch(key="k", offer=OFFER), large)
    assert made["disks"][0]["initialize_params"]["disk_size_gb"] == 100


def test_the_same_launch_is_the_same_request() -> None:
    launch = Launch(key="k", offer=OFFER, user_data="#cloud-config", lifetime=60.5, tags={"b": "1", "a": "2"})
    assert request(GcpConfig(), "me", launch, PLACE) == request(GcpConfig(), "me", launch, PLACE)
    assert request_id("me", "k") == request_id("me", "k") != request_id("me", "l")


@pytest.mark.parametrize("spot", [True, False])
@pytest.mark.parametrize("lifetime", [0.0, 3600.0])
def test_a_machine_ends_itself_whatever_happens_here(spot: bool, lifetime: float) -> None:
    offer = OFFER.model_copy(update={"spot": spot})
    made = request(GcpConfig(), "me", Launch(key="k", offer=offer, lifetime=lifetime), PLACE)
    scheduling = made["scheduling"]
    assert made["disks"][0]["auto_delete"] and not scheduling["automatic_restart"]
    assert ("max_run_duration" in scheduling) == bool(lifetime)
    # only what is spot, or limited, may say what becomes of it
    assert scheduling.get("instance_termination_action") == ("DELETE" if spot or lifetime else None)


@pytest.mark.parametrize(("asked", "given"), [(1.0, 30), (600.0, 600), (1e9, 120 * 86_400)])
def test_a_limit_is_one_that_google_takes(asked: float, given: int) -> None:
    made = request(GcpConfig(), "me", Launch(key="k", offer=OFFER, lifetime=asked), PLACE)
    assert made["scheduling"]["max_run_duration"] == {"seconds": given}


def test_gpus_are_attached_and_keep_the_machine_where_it_is() -> None:
    made = request(GcpConfig(), "me", Launch(key="k", offer=GPU_OFFER), PLACE)
    assert made["machine_type"] == "zones/us-central1-a/machineTypes/n1-standard-8"
    kind = "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4"
    assert made["guest_accelerators"] == [{"accelerator_type": kind, "accelerator_count": 2}]
    assert made["scheduling"]["on_host_maintenance"] == "TERMINATE"
    # the words are those of the SDK, which knows no others
    assert compute_v1.Instance(made).guest_accelerators[0].accelerator_count == 2


def test_nobody_else_is_let_in_and_nothing_is_given_that_was_not_asked_for() -> None:
    made = request(GcpConfig(public_ip=False), "me", Launch(key="k", offer=OFFER, user_data="#cloud-config"), PLACE)
    items = {each["key"]: each["value"] for each in made["metadata"]["items"]}
    assert items == {"user-data": "#cloud-config", "block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE"}
    assert made["network_interfaces"][0]["access_configs"] == []
    assert "service_accounts" not in made


def test_the_owner_can_not_be_set_by_a_tag() -> None:
    made = request(GcpConfig(), "me", Launch(key="k", offer=OFFER, tags={"dstack-owner": "other"}), PLACE)
    assert made["labels"]["dstack-owner"] == made["disks"][0]["initialize_params"]["labels"]["dstack-owner"] == "me"


def test_labels_hold_only_what_google_takes() -> None:
    made = labels({"dstack.Run": 'A"b<c>é_./=+' + "x" * 99})
    ((key, value),) = made.items()
    assert key == "dstack-run"
    assert value.startswith("a-b-c--_----x") and len(value) == 63


@pytest.mark.parametrize("key", ["0123456789abcdef" * 2, "k1", "With.Upper and more", "x" * 200, "ends-", ""])
def test_names_are_names_and_begin_as_the_installations_do(key: str) -> None:
    mine, yours = kin_of(prefix_of("me"), ""), kin_of(prefix_of("you"), "")
    name = name_of(mine, key)
    assert NAME.fullmatch(name) and name.startswith(f"{prefix_of('me')}-")
    assert name == name_of(mine, key) != name_of(yours, key)


def test_machines_of_another_store_are_of_another_kin() -> None:
    of = {store: kin_of("dstack-1a2b3c4d", store) for store in ("", "gs://b", "gs://b/team", "gs://b/other", "gs://c")}
    assert len(set(of.values())) == len(of)
    # what isn't in Google's storage gives a machine no rights
    assert (
        kin_of("dstack-1a2b3c4d", "s3://b") == of[""] and kin_of("dstack-1a2b3c4d", "gs://b/team/") == of["gs://b/team"]
    )
    assert all(len(kin) <= 30 for kin in of.values())


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("PROVISIONING", Health.STARTING),
        ("STAGING", Health.STARTING),
        ("REPAIRING", Health.STARTING),
        ("RUNNING", Health.RUNNING),
        ("STOPPING", Health.RUNNING),
        ("TERMINATED", Health.STOPPED),
        ("SUSPENDED", Health.STOPPED),
    ],
)
def test_what_is_seen_of_a_machine(status: str, health: Health) -> None:
    interface = {"network_i_p": "10.1.2.3", "access_configs": [{"nat_i_p": "34.1.2.3"}]}
    instance = compute_v1.Instance(status=status, network_interfaces=[interface])
    seen = observe(GcpConfig(), "ref", instance)
    assert seen.health is health
    if health is Health.RUNNING:
        assert (seen.endpoint, seen.address) == ("ssh:dstack@34.1.2.3:22", "10.1.2.3")
        assert observe(GcpConfig(public_ip=False), "ref", instance).endpoint == "ssh:dstack@10.1.2.3:22"


def test_a_machine_without_an_address_is_starting() -> None:
    assert observe(GcpConfig(), "ref", compute_v1.Instance(status="RUNNING")).health is Health.STARTING


def test_bare_metal_stays_where_it_is_and_boots_from_hyperdisk() -> None:
    metal = OFFER.model_copy(update={"instance_type": "c3-standard-192-metal"})
    made = request(GcpConfig(), "me", Launch(key="k", offer=metal), PLACE)
    assert made["scheduling"]["on_host_maintenance"] == "TERMINATE"
    assert made["disks"][0]["initialize_params"]["disk_type"].endswith("/hyperdisk-balanced")

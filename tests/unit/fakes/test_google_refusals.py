"""Requests that the emulated Compute Engine refuses as the real one does, sent as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud
from tests.unit.fakes.google_requests import COMPUTE, INSTANCES, ask, instance, launch, refusal

pytestmark = pytest.mark.google

FIREWALLS = f"{COMPUTE}/global/firewalls"
T4 = {"acceleratorType": f"zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}
N1 = f"zones/{ZONE}/machineTypes/n1-standard-4"
G2 = f"zones/{ZONE}/machineTypes/g2-standard-4"
REFERENCE = "The referenced resource does not exist."


def disk(**changes: Any) -> list[dict[str, Any]]:
    [boot] = instance()["disks"]
    return [{**boot, "initializeParams": {**boot["initializeParams"], **changes}}]


# what is changed of a good request, and the reason and a part of the message
INSTANCE = {
    "unknown field": ({"bogus": 1}, "badRequest", 'Unknown name "bogus": Cannot find field.'),
    "unknown field inside": ({"scheduling": {"spot": True}}, "badRequest", "Unknown name \"spot\" at 'resource.scheduling'"),
    "no name": ({"name": None}, "required", "Required field 'resource.name' not specified"),
    "bad name": ({"name": "Vm_1"}, "invalid", "Invalid value for field 'resource.name': 'Vm_1'"),
    "wrong type": ({"canIpForward": "yes"}, "badRequest", "resource.canIpForward"),
    "text for a list": ({"disks": "one"}, "badRequest", "resource.disks"),
    "text for an object": ({"scheduling": "spot"}, "badRequest", "resource.scheduling"),
    "number for an object": ({"guestAccelerators": [1]}, "badRequest", "resource.guestAccelerators[0]"),
    "number too large": ({"scheduling": {"minNodeCpus": 2**40}}, "badRequest", "resource.scheduling.minNodeCpus"),
    "no number": ({"disks": disk(diskSizeGb="20GB")}, "badRequest", "diskSizeGb"),
    "enum": ({"scheduling": {"provisioningModel": "SPOTT"}}, "invalid", "'SPOTT'"),
    "enum of another field": ({"scheduling": {"onHostMaintenance": "DELETE"}}, "invalid", "'DELETE'"),
    "metadata without value": ({"metadata": {"items": [{"key": "a"}]}}, "required", "resource.metadata.items[0].value"),
    "metadata twice": ({"metadata": {"items": [{"key": "a", "value": "1"}] * 2}}, "invalid", "duplicate keys"),
    "metadata too long": ({"metadata": {"items": [{"key": "a", "value": "x" * 2**19}]}}, "invalid", "at most 262144 bytes"),
    "no machine type": ({"machineType": None}, "invalid", "resource.machineType"),
    "unknown machine type": ({"machineType": f"zones/{ZONE}/machineTypes/e9-huge-1"}, "invalid", REFERENCE),
    "machine type elsewhere": ({"machineType": "zones/us-east1-b/machineTypes/e2-small"}, "invalid", "another zone"),
    "no disk": ({"disks": None}, "invalid", "No disks are specified."),
    "no boot disk": ({"disks": [{**disk()[0], "boot": False}]}, "invalid", "Boot disk must be the first"),
    "unknown image": ({"disks": disk(sourceImage="projects/debian-cloud/global/images/family/debian-99")}, "invalid", "image resource"),
    "smaller than its image": ({"disks": disk(diskSizeGb="5")}, "invalid", "cannot be smaller than the image size (10 GB)"),
    "unknown disk type": ({"disks": disk(diskType=f"zones/{ZONE}/diskTypes/pd-huge")}, "invalid", REFERENCE),
    "disk of another family": ({"machineType": G2, "disks": disk(diskType="pd-standard")}, "badRequest", "not compatible"),
    "no network": ({"networkInterfaces": []}, "invalid", "At least one network interface"),
    "unknown network": ({"networkInterfaces": [{"network": "global/networks/mine"}]}, "invalid", REFERENCE),
    "subnet elsewhere": (
        {"networkInterfaces": [{"subnetwork": "regions/us-east1/subnetworks/default"}]}, "invalid", "not in the instance's region"
    ),
    "label in capitals": ({"labels": {"Owner": "me"}}, "invalid", "Label keys"),
    "label value": ({"labels": {"owner": "me@home"}}, "invalid", "Label values"),
    "GPU on another family": ({"guestAccelerators": [T4]}, "badRequest", "features are not compatible"),
    "few GPUs for many CPUs": (
        {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-64", "guestAccelerators": [T4]},
        "badRequest",
        "not compatible",
    ),
    "so many GPUs": ({"machineType": N1, "guestAccelerators": [{**T4, "acceleratorCount": 3}]}, "invalid", "one of [1, 2, 4]"),
    "GPU that migrates": (
        {"machineType": N1, "guestAccelerators": [T4], "scheduling": {"onHostMaintenance": "MIGRATE"}}, "badRequest", "live migration"
    ),
    "spot that restarts": (
        {"scheduling": {"provisioningModel": "SPOT", "automaticRestart": True}}, "invalid", "automaticRestart be false"
    ),
    "action without an end": ({"scheduling": {"instanceTerminationAction": "DELETE"}}, "invalid", "termination action"),
    "end without an action": ({"scheduling": {"maxRunDuration": {"seconds": "60"}}}, "invalid", "must be specified with"),
    "end too early": (
        {"scheduling": {"maxRunDuration": {"seconds": 5}, "instanceTerminationAction": "DELETE"}}, "invalid", "between 30 and"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, reason, message", INSTANCE.values(), ids=INSTANCE)
def test_an_instance_that_is_refused(google: GoogleCloud, change: dict[str, Any], reason: str, message: str) -> None:
    body = instance(**change)
    status, said, text = refusal(google, "POST", INSTANCES, body)
    assert (status, said) == (400, reason)
    assert message in text
    assert google.instances() == google.held() == []


FIREWALL = {
    "no protocol": ({"allowed": [{"ports": ["22"]}]}, "IPProtocol"),
    "no port": ({"allowed": [{"IPProtocol": "tcp", "ports": ["ssh"]}]}, "ports"),
    "neither allowed nor denied": ({}, "Exactly one of allowed and denied"),
    "no range": ({"allowed": [{"IPProtocol": "tcp"}], "sourceRanges": ["10.0.0.1/8"]}, "valid CIDR range"),
    "unknown network": ({"allowed": [{"IPProtocol": "tcp"}], "network": "global/networks/mine"}, REFERENCE),
}


@pytest.mark.parametrize("rule, message", FIREWALL.values(), ids=FIREWALL)
def test_a_firewall_rule_that_is_refused(google: GoogleCloud, rule: dict[str, Any], message: str) -> None:
    status, _, text = refusal(google, "POST", FIREWALLS, {"name": "ssh", **rule})
    assert status == 400
    assert message in text
    assert google.held(groups=True) == []


ZERO = "00000000-0000-0000-0000-000000000000"
PATHS = {
    "unknown route": ("GET", f"{INSTANCES}/a/b/c", {}, 404, "was not found on this server"),
    "wrong verb": ("PUT", INSTANCES, {}, 404, "was not found on this server"),
    "wrong version": ("GET", INSTANCES.replace("v1", "v2", 1), {}, 404, "was not found on this server"),
    "other project": ("GET", INSTANCES.replace(PROJECT, "other-project"), {}, 404, "projects/other-project"),
    "no such zone": ("GET", INSTANCES.replace(ZONE, "us-central1-z"), {}, 404, "zones/us-central1-z"),
    "no such instance": ("GET", f"{INSTANCES}/vm-9", {}, 404, "instances/vm-9' was not found"),
    "no such operation": ("GET", f"{COMPUTE}/zones/{ZONE}/operations/operation-1", {}, 404, "was not found"),
    "unknown parameter": ("GET", INSTANCES, {"limit": "5"}, 400, 'Unknown name "limit": Cannot bind query parameter'),
    "page too large": ("GET", INSTANCES, {"maxResults": "501"}, 400, "within the range: [0, 500]"),
    "no number": ("GET", INSTANCES, {"maxResults": "many"}, 400, "maxResults"),
    "page token": ("GET", INSTANCES, {"pageToken": "there"}, 400, "pageToken"),
    "filter": ("GET", INSTANCES, {"filter": "labels.owner="}, 400, "Invalid list filter expression"),
    "order": ("GET", INSTANCES, {"orderBy": "age"}, 400, "orderBy"),
    "no UUID": ("DELETE", f"{INSTANCES}/vm-9", {"requestId": "again"}, 400, "Must be a valid UUID"),
    "zero UUID": ("DELETE", f"{INSTANCES}/vm-9", {"requestId": ZERO}, 400, "Must be a valid UUID"),
}  # fmt: skip


@pytest.mark.parametrize("verb, path, query, status, message", PATHS.values(), ids=PATHS)
def test_a_path_or_a_parameter_that_is_refused(
    google: GoogleCloud, verb: str, path: str, query: dict[str, str], status: int, message: str
) -> None:
    found, _, text = refusal(google, verb, path, **query)
    assert found == status
    assert message in text


def test_what_is_no_json_or_no_object(google: GoogleCloud) -> None:
    assert refusal(google, "POST", INSTANCES, b"{")[:2] == (400, "parseError")
    assert refusal(google, "POST", INSTANCES, [1])[:2] == (400, "badRequest")


def test_a_name_that_is_taken_and_a_request_id_that_was_used(google: GoogleCloud) -> None:
    launch(google)
    assert refusal(google, "POST", INSTANCES, instance())[:2] == (409, "alreadyExists")
    id = "6f2e1c52-8a1b-4c55-9c3e-0a6a5d1f0e11"
    assert ask(google, "POST", INSTANCES, instance("vm-2"), requestId=id)[0] == 200
    assert refusal(google, "POST", INSTANCES, instance("vm-3"), requestId=id)[:2] == (400, "invalid")


def test_what_only_the_service_sets_is_ignored(google: GoogleCloud) -> None:
    launch(google, status="TERMINATED", id="1", zone="nowhere", selfLink="there")
    _, found = ask(google, "GET", f"{INSTANCES}/vm-1")
    assert (found["status"], found["zone"].rpartition("/")[2]) == ("RUNNING", ZONE)
    assert found["id"] != "1"


def test_a_disk_in_use_and_a_network_in_use_stay(google: GoogleCloud) -> None:
    launch(google)
    disk = f"{COMPUTE}/zones/{ZONE}/disks/vm-1"
    assert refusal(google, "DELETE", disk)[:2] == (400, "resourceInUseByAnotherResource")
    assert refusal(google, "DELETE", f"{COMPUTE}/global/networks/default")[:2] == (
        400,
        "resourceInUseByAnotherResource",
    )


def test_labels_are_only_changed_by_who_has_seen_them(google: GoogleCloud) -> None:
    launch(google)
    path = f"{INSTANCES}/vm-1/setLabels"
    assert refusal(google, "POST", path, {"labels": {}, "labelFingerprint": "AAAA"})[:2] == (412, "conditionNotMet")

"""The emulated Compute Engine does, forgets and fails as the real one; asked through HTTP and through Google's own SDK."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1 as sdk

from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud
from tests.unit.fakes.google_requests import (
    COMPUTE,
    INSTANCES,
    SPOT,
    ask,
    client,
    delete,
    done,
    errors,
    instance,
    launch,
    refusal,
    state,
    until,
)

pytestmark = pytest.mark.google

EXHAUSTED = "ZONE_RESOURCE_POOL_EXHAUSTED"
ID = "6f2e1c52-8a1b-4c55-9c3e-0a6a5d1f0e11"
PLACE = {"project": PROJECT, "zone": ZONE}


def an_instance(name: str = "vm-1") -> sdk.Instance:
    found: sdk.Instance = sdk.Instance.from_json(str(instance(name)).replace("'", '"').replace("True", "true"))
    return found


def test_googles_sdk_makes_sees_and_deletes_an_instance(google: GoogleCloud) -> None:
    instances = client(google, "InstancesClient")
    instances.insert(**PLACE, instance_resource=an_instance()).result(timeout=20)
    found = instances.get(**PLACE, instance="vm-1")
    assert (found.status, found.labels["owner"]) == ("RUNNING", "me")
    assert found.network_interfaces[0].access_configs[0].nat_i_p.startswith("34.")
    assert [each.name for each in client(google, "DisksClient").list(**PLACE)] == ["vm-1"]
    listed = sdk.AggregatedListInstancesRequest(project=PROJECT, filter="labels.owner=me")
    assert {
        scope: len(each.instances) for scope, each in instances.aggregated_list(request=listed) if each.instances
    } == {f"zones/{ZONE}": 1}
    instances.delete(**PLACE, instance="vm-1").result(timeout=20)
    with pytest.raises(exceptions.NotFound):
        instances.get(**PLACE, instance="vm-1")
    assert google.held() == []


def test_what_an_operation_ends_with_is_what_the_sdk_raises(google: GoogleCloud) -> None:
    google.fail("instances.insert", EXHAUSTED, zone=ZONE, market="on-demand")
    operation = client(google, "InstancesClient").insert(**PLACE, instance_resource=an_instance())
    with pytest.raises(exceptions.ServiceUnavailable, match=EXHAUSTED):
        operation.result(timeout=20)
    assert (operation.error_code, google.held()) == (503, [])


def test_the_answer_to_a_change_is_an_operation_that_takes_its_time(google: GoogleCloud) -> None:
    google.set(operation_delay=3600)
    status, operation = ask(google, "POST", INSTANCES, instance())
    assert (status, operation["status"], operation["operationType"]) == (200, "PENDING", "insert")
    assert state(google) == "PROVISIONING"
    google.reset()
    operation = launch(google)
    assert operation["status"] == "DONE"
    assert operation["targetId"] == google.instances()[0]["id"]
    assert [each["status"] for each in ask(google, "GET", f"{COMPUTE}/zones/{ZONE}/operations")[1]["items"]] == ["DONE"]


def test_one_request_id_is_one_instance(google: GoogleCloud) -> None:
    found: list[Any] = []
    token = google.token()

    def insert() -> None:
        found.append(ask(google, "POST", INSTANCES, instance(), token=token, requestId=ID))

    threads = [threading.Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(status, operation["name"]) for status, operation in found} == {(200, found[0][1]["name"])}
    assert len(google.instances()) == 1


def test_a_request_id_whose_operation_failed_goes_on_failing(google: GoogleCloud) -> None:
    google.fail("instances.insert", EXHAUSTED, times=1)
    for _ in range(2):
        _, operation = ask(google, "POST", INSTANCES, instance(), requestId=ID)
        assert errors(done(google, operation)) == [EXHAUSTED]
    assert errors(launch(google)) == []


def test_no_capacity_by_type_zone_and_market(google: GoogleCloud) -> None:
    google.fail("instances.insert", EXHAUSTED, market="spot", type="e2-standard-2", zone=ZONE)
    assert errors(launch(google, scheduling=SPOT)) == [EXHAUSTED]
    assert errors(launch(google)) == []
    google.forgive()
    assert errors(launch(google, "vm-2", scheduling=SPOT)) == []
    assert [each["market"] for each in google.instances()] == ["on-demand", "spot"]


def test_a_quota_counts_what_runs(google: GoogleCloud) -> None:
    google.set(quotas={"CPUS": 2})
    assert errors(launch(google)) == []
    assert errors(launch(google, "vm-2")) == ["QUOTA_EXCEEDED"]
    region = ask(google, "GET", f"{COMPUTE}/regions/us-central1")[1]
    assert next(each for each in region["quotas"] if each["metric"] == "CPUS") == {
        "metric": "CPUS",
        "limit": 2,
        "usage": 2,
    }
    delete(google)
    assert errors(launch(google, "vm-2")) == []


def test_no_gpu_anywhere_where_the_projects_own_quota_is_none(google: GoogleCloud) -> None:
    google.set(quotas={"GPUS_ALL_REGIONS": 0})
    zone = "us-central1-b"
    gpu = instance("vm-3", machineType=f"zones/{zone}/machineTypes/g2-standard-4")
    gpu["disks"][0]["initializeParams"]["diskType"] = f"zones/{zone}/diskTypes/pd-balanced"
    failed = done(google, ask(google, "POST", f"{COMPUTE}/zones/{zone}/instances", gpu)[1])
    assert failed["error"]["errors"][0]["message"] == "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally."


def test_an_operation_that_fails_after_its_effect(google: GoogleCloud) -> None:
    google.fail("instances.insert", "INTERNAL_ERROR", after=True)
    assert errors(launch(google)) == ["INTERNAL_ERROR"]
    assert google.held() == ["instance vm-1 (RUNNING)", f"disk zones/{ZONE}/disks/vm-1"]


def test_operations_that_never_finish(google: GoogleCloud) -> None:
    google.fail("instances.insert", never=True, name="vm-1")
    google.fail("instances.insert", never=True, name="vm-2", after=True)
    operations = [ask(google, "POST", INSTANCES, instance(name))[1] for name in ("vm-1", "vm-2")]
    until(lambda: google.instances("RUNNING"))
    assert [each["name"] for each in google.instances()] == ["vm-2"]
    paths = [each["selfLink"].partition("googleapis.com")[2] for each in operations]
    assert {ask(google, "GET", path)[1]["status"] for path in paths} == {"RUNNING"}


def test_an_answer_that_is_lost_before_or_after_the_effect(google: GoogleCloud) -> None:
    token = google.token()
    for after in (False, True):
        google.fail("instances.insert", cut=True, after=after, times=1)
        with pytest.raises(OSError):
            ask(google, "POST", INSTANCES, instance(), token=token)
        assert len(google.instances()) == after


def test_an_answer_that_comes_late(google: GoogleCloud) -> None:
    google.fail("instances.list", delay=0.5, times=1)
    began = time.monotonic()
    assert ask(google, "GET", INSTANCES)[0] == 200
    assert time.monotonic() - began >= 0.5


def test_errors_at_once_and_their_reasons(google: GoogleCloud) -> None:
    for code, status in {
        "rateLimitExceeded": 403,
        "tooManyRequests": 429,
        "backendError": 500,
        "unavailable": 503,
    }.items():
        google.fail("instances.list", code, times=1)
        assert refusal(google, "GET", INSTANCES)[:2] == (status, code)
    assert ask(google, "GET", INSTANCES)[0] == 200
    assert google.calls("instances.list") == 5


def test_listings_lag_behind_and_single_instances_do_not(google: GoogleCloud) -> None:
    launch(google)
    google.set(listing_lag=3600)
    delete(google)
    launch(google, "vm-2")
    assert ask(google, "GET", INSTANCES)[1].get("items", []) == []
    assert (state(google), state(google, "vm-2")) == ("gone", "RUNNING")


def test_a_listing_comes_in_pages(google: GoogleCloud) -> None:
    for number in range(3):
        launch(google, f"vm-{number}")
    found, token = [], ""
    while not found or token:
        page = ask(google, "GET", INSTANCES, maxResults="2", pageToken=token)[1]
        found += [each["name"] for each in page["items"]]
        token = page.get("nextPageToken", "")
    assert found == ["vm-0", "vm-1", "vm-2"]


FILTERS = {
    "labels.owner=me": 2,
    "labels.owner = you": 0,
    '(labels.owner = "me") (name = vm-1)': 1,
    "labels.owner:*": 2,
    "name=vm-1 OR name=vm-2": 2,
    "NOT name=vm-1": 1,
    "labels.owner!=me": 0,
    "name eq 'vm-.'": 2,
    "status=RUNNING AND labels.owner=me AND name!=vm-2": 1,
}


def test_a_listing_is_filtered(google: GoogleCloud) -> None:
    launch(google)
    launch(google, "vm-2")
    counts = {text: len(ask(google, "GET", INSTANCES, filter=text)[1].get("items", [])) for text in FILTERS}
    assert counts == FILTERS


def test_an_aggregated_listing_says_where_there_is_nothing(google: GoogleCloud) -> None:
    launch(google)
    found = ask(google, "GET", f"{COMPUTE}/aggregated/instances", filter="labels.owner=me")[1]["items"]
    assert [each["name"] for each in found[f"zones/{ZONE}"]["instances"]] == ["vm-1"]
    assert found["zones/europe-west4-a"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"


def test_a_zone_that_does_not_answer_is_named_in_an_aggregated_listing(google: GoogleCloud) -> None:
    launch(google)
    google.set(unreachable=[ZONE])
    found = ask(google, "GET", f"{COMPUTE}/aggregated/instances")[1]
    assert found["items"][f"zones/{ZONE}"]["warning"]["code"] == "UNREACHABLE"
    assert [each.rpartition("/")[2] for each in found["unreachables"]] == [ZONE]
    assert refusal(google, "GET", f"{INSTANCES}/vm-1")[:2] == (503, "backendError")


@pytest.mark.parametrize("action, after", [("DELETE", "gone"), ("STOP", "TERMINATED")])
def test_a_spot_machine_is_taken_back(google: GoogleCloud, action: str, after: str) -> None:
    launch(google, scheduling={**SPOT, "instanceTerminationAction": action})
    google.interrupt("vm-1", 3600)
    assert state(google) == "RUNNING"
    google.interrupt("vm-1", 0)
    until(lambda: state(google) == after)
    assert google.instances()[0]["reason"] == "compute.instances.preempted"
    assert len(google.held()) == (0 if action == "DELETE" else 2)
    kinds = [each["operationType"] for each in ask(google, "GET", f"{COMPUTE}/zones/{ZONE}/operations")[1]["items"]]
    assert "compute.instances.preempted" in kinds


def test_an_eviction_in_the_middle_of_the_create(google: GoogleCloud) -> None:
    google.set(operation_delay=0.3)
    _, operation = ask(google, "POST", INSTANCES, instance(scheduling=SPOT))
    google.interrupt("vm-1", 0)
    assert done(google, operation)["status"] == "DONE"
    assert (state(google), google.held()) == ("gone", [])


def test_a_run_that_is_limited_ends(google: GoogleCloud) -> None:
    google.set(hurry=100)
    launch(google, scheduling={"maxRunDuration": {"seconds": "30"}, "instanceTerminationAction": "DELETE"})
    until(lambda: state(google) == "gone")
    assert (google.held(), google.instances()[0]["reason"]) == ([], "compute.instances.terminationTime")


def test_a_machine_that_dies_is_stopped_and_its_disk_costs(google: GoogleCloud) -> None:
    launch(google)
    google.kill("vm-1")
    assert google.held() == ["instance vm-1 (TERMINATED)", f"disk zones/{ZONE}/disks/vm-1"]
    delete(google)
    assert google.held() == []


def test_a_disk_that_does_not_go_with_its_instance(google: GoogleCloud) -> None:
    [disk] = instance()["disks"]
    launch(google, disks=[{**disk, "autoDelete": False}])
    delete(google)
    assert google.held() == [f"disk zones/{ZONE}/disks/vm-1"]
    done(google, ask(google, "DELETE", f"{COMPUTE}/zones/{ZONE}/disks/vm-1")[1])
    assert google.held() == []


def test_built_in_and_attached_accelerators(google: GoogleCloud) -> None:
    types = {each["name"]: each for each in ask(google, "GET", f"{COMPUTE}/zones/{ZONE}/machineTypes")[1]["items"]}
    assert types["a2-highgpu-1g"]["accelerators"] == [
        {"guestAcceleratorType": "nvidia-tesla-a100", "guestAcceleratorCount": 1}
    ]
    assert "g2-standard-4" not in {
        each["name"] for each in ask(google, "GET", f"{COMPUTE}/zones/us-east1-b/machineTypes")[1]["items"]
    }
    t4 = {"acceleratorType": f"zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 2}
    launch(google, machineType=f"zones/{ZONE}/machineTypes/n1-standard-4", guestAccelerators=[t4])
    launch(google, "vm-2", machineType=f"zones/{ZONE}/machineTypes/g2-standard-24")
    found = [ask(google, "GET", f"{INSTANCES}/{name}")[1] for name in ("vm-1", "vm-2")]
    assert [each["guestAccelerators"][0]["acceleratorCount"] for each in found] == [2, 2]
    assert {each["scheduling"]["onHostMaintenance"] for each in found} == {"TERMINATE"}
    used = {each["metric"]: each["usage"] for each in ask(google, "GET", COMPUTE)[1]["quotas"]}
    assert used["GPUS_ALL_REGIONS"] == 4


def test_firewall_rules_are_kept_by_name(google: GoogleCloud) -> None:
    rule = {"name": "ssh", "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}], "sourceRanges": ["10.0.0.0/8"]}
    path = f"{COMPUTE}/global/firewalls"
    done(google, ask(google, "POST", path, rule)[1])
    assert refusal(google, "POST", path, rule)[:2] == (409, "alreadyExists")
    done(google, ask(google, "PATCH", f"{path}/ssh", {"name": "ssh", "sourceRanges": ["10.1.0.0/16"]})[1])
    assert ask(google, "GET", f"{path}/ssh")[1]["sourceRanges"] == ["10.1.0.0/16"]
    assert google.held(groups=True) == ["firewall global/firewalls/ssh"]
    done(google, ask(google, "DELETE", f"{path}/ssh")[1])
    assert google.held(groups=True) == []

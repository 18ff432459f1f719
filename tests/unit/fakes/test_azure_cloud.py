"""The emulated Azure is late, forgets and lies as the real one does; asked over plain HTTP."""

from __future__ import annotations

import http.client

import pytest

from tests.fakes.azure import AzureCloud
from tests.unit.fakes.azure_requests import (
    GROUP,
    MACHINES,
    NETWORK,
    ROOT,
    ask,
    launch,
    power,
    prepare,
    refused,
    settled,
)
from tests.unit.fakes.launches import until

pytestmark = pytest.mark.azure

CREATE = "virtual_machines.create_or_update"


def names(cloud: AzureCloud, path: str) -> list[str]:
    return [each["name"] for each in ask(cloud, "GET", path).body["value"]]


def test_one_request_makes_machine_disk_interface_and_address_and_one_takes_them_away(azure: AzureCloud) -> None:
    prepare(azure)
    assert launch(azure).body["properties"]["provisioningState"] == "Creating"
    kinds = [text.partition(" ")[0] for text in azure.held()]
    assert sorted(kinds) == ["address", "disk", "interface", "machine"]
    assert ask(azure, "DELETE", f"{MACHINES}/vm").status == 202
    assert azure.held() == []
    assert ask(azure, "DELETE", f"{MACHINES}/vm").status == 204
    assert azure.instances("deleted")[0]["tags"] == {"owner": "me"}


def test_an_operation_takes_its_time_and_tells_by_headers(azure: AzureCloud) -> None:
    prepare(azure)
    azure.set(operation_seconds=3600, retry_after=7)
    made = launch(azure)
    assert (made.headers["Retry-After"], settled(azure, made)["status"]) == ("7", "InProgress")
    assert (power(azure), azure.instances()[0]["state"]) == ("starting", "creating")
    deleted = ask(azure, "DELETE", f"{MACHINES}/vm")
    where = deleted.headers["Location"].removeprefix(azure.endpoint)
    assert ask(azure, "GET", where).status == 202
    assert launch(azure, tags={}).code == "OperationNotAllowed"
    assert refused(azure, "GET", f"{ROOT}/operationresults/none") == "404 NotFound"


def test_an_operation_that_fails_leaves_the_machines_object(azure: AzureCloud) -> None:
    prepare(azure)
    azure.fail(CREATE, "AllocationFailed", later=True, times=1)
    made = launch(azure)
    assert made.status == 201
    told = settled(azure, made)
    assert (told["status"], told["error"]["code"]) == ("Failed", "AllocationFailed")
    found = ask(azure, "GET", f"{MACHINES}/vm?$expand=instanceView").body["properties"]
    assert found["provisioningState"] == "Failed"
    assert found["instanceView"]["statuses"][0]["code"] == "ProvisioningState/failed/AllocationFailed"
    nic = next(text.split(" ")[1] for text in azure.held() if text.startswith("interface"))
    assert ask(azure, "DELETE", f"{MACHINES}/vm").status == 202
    assert (azure.held(), power(azure)) == ([], "gone")
    assert ask(azure, "DELETE", nic).status == 204


def test_an_operation_that_never_ends(azure: AzureCloud) -> None:
    prepare(azure)
    azure.fail(CREATE, stuck=True, name="vm")
    made = launch(azure)
    assert settled(azure, made)["status"] == "InProgress"
    assert settled(azure, launch(azure, "other"))["status"] == "Succeeded"


def test_a_deletion_that_fails_or_never_ends(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    azure.fail("virtual_machines.delete", "InternalExecutionError", later=True, times=1)
    told = settled(azure, ask(azure, "DELETE", f"{MACHINES}/vm"))
    assert (told["status"], power(azure), len(azure.held())) == ("Failed", "running", 4)
    azure.fail("virtual_machines.delete", stuck=True, times=1)
    assert settled(azure, ask(azure, "DELETE", f"{MACHINES}/vm"))["status"] == "InProgress"
    assert ask(azure, "GET", f"{MACHINES}/vm").body["properties"]["provisioningState"] == "Deleting"
    ask(azure, "DELETE", f"{MACHINES}/vm")
    assert azure.held() == []


def test_a_machine_is_changed_in_its_tags_only(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    assert ask(azure, "PATCH", f"{MACHINES}/vm", {"tags": {"owner": "you"}}).status == 200
    assert ask(azure, "GET", f"{MACHINES}/vm").body["tags"] == {"owner": "you"}
    assert refused(azure, "PATCH", f"{MACHINES}/vm", {"location": "westus2"}) == "400 BadRequest"
    spot = {"properties": {"priority": "Spot"}}
    assert refused(azure, "PATCH", f"{MACHINES}/vm", spot) == "409 PropertyChangeNotAllowed"


def test_a_disk_of_its_own(azure: AzureCloud) -> None:
    prepare(azure)
    disk = f"{GROUP}/providers/Microsoft.Compute/disks/mine"
    assert refused(azure, "PUT", disk, {"location": "eastus", "properties": {}}) == "400 InvalidParameter"
    empty = {"creationData": {"createOption": "Empty"}}
    assert refused(azure, "PUT", disk, {"location": "eastus", "properties": empty}) == "400 InvalidParameter"
    made = ask(azure, "PUT", disk, {"location": "eastus", "properties": {**empty, "diskSizeGB": 64}})
    assert (made.status, azure.held()) == (202, [f"disk {disk}"])
    assert ask(azure, "PATCH", disk, {"tags": {"owner": "me"}}).body["tags"] == {"owner": "me"}
    assert refused(azure, "PATCH", disk, {"properties": {"diskSizeGB": 128}}) == "409 PropertyChangeNotAllowed"
    assert ask(azure, "DELETE", disk).status == 202
    assert azure.held() == []


def test_an_eviction_without_deletion_deallocates(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure, spot=True, properties__evictionPolicy="Deallocate")
    assert ask(azure, "POST", f"{MACHINES}/vm/simulateEviction").status == 204
    until(lambda: power(azure) == "deallocated")
    assert ask(azure, "POST", f"{MACHINES}/vm/start").status == 202
    assert power(azure) == "running"


def test_no_capacity_by_type_zone_and_market(azure: AzureCloud) -> None:
    prepare(azure)
    azure.fail(CREATE, "ZonalAllocationFailed", market="spot", zone="1")
    assert launch(azure, spot=True, zones=["1"]).code == "ZonalAllocationFailed"
    assert launch(azure, "other", spot=True, zones=["2"]).status == 201
    azure.fail(CREATE, "SkuNotAvailable", type="Standard_D2s_v5", times=1)
    assert launch(azure).status == 409
    assert launch(azure).status == 201


def test_quotas_count_what_is_allocated(azure: AzureCloud) -> None:
    prepare(azure)
    azure.set(cores=2, low_priority_cores=2)
    assert launch(azure).status == 201
    more = launch(azure, "more")
    assert (more.status, more.code) == (409, "OperationNotAllowed")
    assert "exceeding approved Total Regional Cores quota" in more.message
    assert launch(azure, "spot", spot=True).status == 201
    assert "LowPriority Cores quota" in launch(azure, "spot2", spot=True).message
    usages = f"{ROOT}/providers/Microsoft.Compute/locations/eastus/usages"
    found = {each["name"]["value"]: each["currentValue"] for each in ask(azure, "GET", usages).body["value"]}
    assert (found["cores"], found["lowPriorityCores"], found["standardDSv5Family"]) == (2, 2, 2)
    ask(azure, "POST", f"{MACHINES}/vm/deallocate")
    assert launch(azure, "more").status == 201


def test_an_answer_that_is_lost_before_or_after_its_effect(azure: AzureCloud) -> None:
    prepare(azure)
    azure.fail(CREATE, "InternalServerError", after=True, times=1)
    assert (launch(azure, "one").status, len(azure.instances())) == (500, 1)
    azure.fail(CREATE, cut=True, after=True, times=1)
    with pytest.raises((http.client.HTTPException, OSError)):
        launch(azure, "two")
    azure.fail(CREATE, cut=True, times=1)
    with pytest.raises((http.client.HTTPException, OSError)):
        launch(azure, "three")
    assert [each["name"] for each in azure.instances()] == ["one", "two"]


def test_lists_are_late(azure: AzureCloud) -> None:
    prepare(azure)
    azure.set(invisible_for=3600, lingers_for=3600)
    launch(azure)
    assert (names(azure, MACHINES), power(azure)) == ([], "running")
    azure.set(invisible_for=0)
    launch(azure, "other")
    ask(azure, "DELETE", f"{MACHINES}/other")
    assert (names(azure, MACHINES), power(azure, "other")) == (["other"], "gone")


def test_long_lists_come_in_pages(azure: AzureCloud) -> None:
    prepare(azure)
    for name in ("a", "b", "c"):
        launch(azure, name)
    azure.set(page=2)
    first = ask(azure, "GET", MACHINES).body
    second = ask(azure, "GET", first["nextLink"].removeprefix(azure.endpoint)).body
    assert [[each["name"] for each in page["value"]] for page in (first, second)] == [["a", "b"], ["c"]]
    assert "nextLink" not in second


def test_too_many_requests(azure: AzureCloud) -> None:
    azure.fail("resource_groups.list", "TooManyRequests", retry_after=3, times=1)
    reply = ask(azure, "GET", f"{ROOT}/resourcegroups")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert ask(azure, "GET", f"{ROOT}/resourcegroups").status == 200
    assert azure.calls("resource_groups") == azure.calls("resource_groups.list") == 2


def test_a_poweroff_only_stops_and_an_eviction_ends(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    azure.power_off("vm")
    assert (power(azure), len(azure.held())) == ("stopped", 4)
    launch(azure, "spot", spot=True)
    azure.kill("spot")
    assert power(azure, "spot") == "stopped"
    azure.set(leave_behind=True)
    azure.interrupt("spot", 0)
    until(lambda: power(azure, "spot") == "gone")
    ask(azure, "DELETE", f"{MACHINES}/vm")
    assert [text.partition(" ")[0] for text in azure.held()] == ["interface", "address"]


def test_an_interface_is_kept_for_the_machine_that_went(azure: AzureCloud) -> None:
    prepare(azure)
    azure.set(leave_behind=True, reserve_seconds=3600)
    launch(azure, spot=True)
    azure.interrupt("vm", 0)
    until(lambda: power(azure) == "gone")
    nic, address = (text.split(" ")[1] for text in azure.held())
    assert refused(azure, "DELETE", nic) == "400 NicReservedForAnotherVm"
    azure.reset()
    assert ask(azure, "DELETE", address).code == "ResourceGroupNotFound"


def test_an_interface_without_its_reservation_goes_and_frees_its_address(azure: AzureCloud) -> None:
    prepare(azure)
    azure.set(leave_behind=True, reserve_seconds=0)
    launch(azure, spot=True)
    azure.interrupt("vm", 0)
    until(lambda: power(azure) == "gone")
    nic, address = (text.split(" ")[1] for text in azure.held())
    assert refused(azure, "DELETE", address) == "400 PublicIPAddressCannotBeDeleted"
    assert [ask(azure, "DELETE", each).status for each in (nic, address)] == [202, 202]
    assert azure.held() == []


def test_a_groups_deletion_takes_everything(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    assert names(azure, f"{GROUP}/resources?$filter=tagName eq 'owner'".replace(" ", "%20")) != []
    reply = ask(azure, "DELETE", GROUP)
    assert (reply.status, "Azure-AsyncOperation" in reply.headers) == (202, False)
    assert (azure.held(groups=True), azure.instances()[0]["state"]) == ([], "deleted")


def test_an_existing_interface_can_be_given_to_a_machine(azure: AzureCloud) -> None:
    prepare(azure)
    subnet = {"id": f"{NETWORK}/virtualNetworks/net/subnets/default"}
    place = {"ipConfigurations": [{"name": "ip", "properties": {"subnet": subnet}}]}
    nic = f"{NETWORK}/networkInterfaces/mine"
    assert ask(azure, "PUT", nic, {"location": "eastus", "properties": place}).status == 201
    wired = {"networkInterfaces": [{"id": nic, "properties": {"deleteOption": "Detach"}}]}
    assert launch(azure, properties__networkProfile=wired).status == 201
    assert launch(azure, "other", properties__networkProfile=wired).code == "NetworkInterfaceAlreadyInUse"
    ask(azure, "DELETE", f"{MACHINES}/vm")
    assert names(azure, f"{NETWORK}/networkInterfaces") == ["mine"]

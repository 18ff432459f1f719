"""Microsoft's own clients on the emulated Azure: what they send is taken, what they get they understand."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import pytest

from tests.fakes.azure import LOCATION, AzureCloud
from tests.fakes.azure.routes import Routes
from tests.unit.fakes.azure_requests import RULE, SUBNET, machine, prepare

pytestmark = pytest.mark.azure

Client = TypeVar("Client")


def client(cloud: AzureCloud, kind: type[Client]) -> Client:
    """One that asks over plain HTTP, which its own login refuses to, and tries nothing twice."""
    from azure.core.pipeline.policies import HeadersPolicy

    headers = HeadersPolicy({"Authorization": f"Bearer {cloud.token()}"})
    more: dict[str, Any] = {"authentication_policy": headers, "polling_interval": 0.02, "retry_total": 0}
    return kind(_Nobody(), cloud.subscription, base_url=cloud.endpoint, **more)  # type: ignore[call-arg]


class _Nobody:
    def get_token(self, *_: str, **__: object) -> object:
        from azure.core.credentials import AccessToken

        return AccessToken("", int(time.time()) + 3600)


def test_what_is_emulated_is_a_request_of_theirs() -> None:
    from tests.fakes.azure.server import SERVICES

    emulated = {name for service in SERVICES for name in service.handlers}
    assert emulated <= Routes().operations()
    described = {name for service in SERVICES for name in service.models}
    assert described <= emulated


def test_machines_are_made_read_listed_and_deleted(azure: AzureCloud) -> None:
    from azure.core.exceptions import ResourceNotFoundError
    from azure.mgmt.compute import ComputeManagementClient

    prepare(azure)
    machines = client(azure, ComputeManagementClient).virtual_machines
    order: Any = machine(spot=True)
    made: Any = machines.begin_create_or_update("rg", "vm", order).result()
    assert (made.properties.provisioning_state, made.properties.eviction_policy) == ("Succeeded", "Delete")
    assert made.properties.os_profile.custom_data is None
    seen: Any = machines.get("rg", "vm", expand="instanceView").properties
    assert [each.code for each in seen.instance_view.statuses] == ["ProvisioningState/succeeded", "PowerState/running"]
    assert [each.name for each in machines.list("rg")] == [each.name for each in machines.list_all()] == ["vm"]
    machines.begin_power_off("rg", "vm").result()
    machines.begin_delete("rg", "vm").result()
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        machines.get("rg", "vm")
    assert azure.held() == []


def test_how_their_errors_look(azure: AzureCloud) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceExistsError
    from azure.mgmt.compute import ComputeManagementClient

    prepare(azure)
    machines, order = client(azure, ComputeManagementClient).virtual_machines, machine()
    azure.fail("virtual_machines.create_or_update", "SkuNotAvailable", times=1)
    with pytest.raises(ResourceExistsError, match="SkuNotAvailable"):
        machines.begin_create_or_update("rg", "vm", order)  # type: ignore[call-overload]
    azure.fail("virtual_machines.create_or_update", "AllocationFailed", later=True, times=1)
    with pytest.raises(HttpResponseError, match="AllocationFailed") as failed:
        machines.begin_create_or_update("rg", "vm", order).result()  # type: ignore[call-overload]
    assert failed.value.status_code == 200


def test_skus_quotas_disks_and_images(azure: AzureCloud) -> None:
    from azure.mgmt.compute import ComputeManagementClient

    compute: Any = client(azure, ComputeManagementClient)
    found = {each.name: each for each in compute.resource_skus.list(filter=f"location eq '{LOCATION}'")}
    known = {each.name: each.value for each in found["Standard_NC24ads_A100_v4"].capabilities}
    assert (known["vCPUs"], known["MemoryGB"], known["GPUs"]) == ("24", "220", "1")
    assert found["Standard_NC24ads_A100_v4"].location_info[0].zones == ["1", "2"]
    [limit] = [each.limit for each in compute.usage.list(LOCATION) if each.name.value == "lowPriorityCores"]
    assert limit == 10_000
    assert list(compute.disks.list()) == []
    image = (LOCATION, "Canonical", "ubuntu-24_04-lts", "server")
    [newest] = compute.virtual_machine_images.list(*image, top=1, orderby="name desc")
    assert compute.virtual_machine_images.get(*image, newest.name).properties.architecture == "x64"


def test_networks_and_their_parts(azure: AzureCloud) -> None:
    from azure.mgmt.network import NetworkManagementClient

    prepare(azure)
    network = client(azure, NetworkManagementClient)
    rule: Any = {"properties": {**RULE["properties"], "priority": 101}}  # type: ignore[dict-item]
    assert network.security_rules.begin_create_or_update("rg", "rules", "more", rule).result().name == "more"
    assert [each.name for each in network.security_rules.list("rg", "rules")] == ["ssh", "more"]
    network.security_rules.begin_delete("rg", "rules", "more").result()
    assert network.subnets.get("rg", "net", "default").id == SUBNET
    known = network.virtual_networks.get("rg", "net")
    # what was read can be sent back
    assert network.virtual_networks.begin_create_or_update("rg", "net", known).result().id == known.id
    network.virtual_networks.begin_delete("rg", "net").result()
    network.network_security_groups.begin_delete("rg", "rules").result()
    assert [text for text in azure.held(groups=True) if "resource group" not in text] == []


def test_groups_and_providers(azure: AzureCloud) -> None:
    from azure.mgmt.resource.resources import ResourceManagementClient

    resources: Any = client(azure, ResourceManagementClient)
    assert resources.resource_groups.create_or_update("rg", {"location": LOCATION}).name == "rg"
    assert resources.resource_groups.check_existence("rg")
    assert resources.providers.get("Microsoft.Compute").registration_state == "Registered"
    assert list(resources.resources.list_by_resource_group("rg")) == []
    resources.resource_groups.begin_delete("rg").result()
    assert not resources.resource_groups.check_existence("rg")

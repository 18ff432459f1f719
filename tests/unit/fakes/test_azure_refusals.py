"""The emulated Resource Manager refuses what the real one does: bad requests, planted one by one, over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.azure import AzureCloud
from tests.unit.fakes.azure_requests import GROUP, MACHINES, NETWORK, ROOT, RULE, ask, launch, machine, prepare, refused

pytestmark = pytest.mark.azure

IMAGE = "properties__storageProfile__imageReference"
LOGIN = "properties__osProfile"
WIRED = "properties__networkProfile"
# what is wrong with the order of a machine: the member's path, its value (None: without it), and the refusal
MACHINES_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"properties__bogus": 1}, "400 BadRequest"),
    ({"properties": []}, "400 BadRequest"),
    ({"zones": "1"}, "400 BadRequest"),
    ({"bogus": 1}, "400 BadRequest"),
    ({"properties__priority": "Spott"}, "400 BadRequest"),
    ({"properties__hardwareProfile": {"vmSize": 5}}, "400 BadRequest"),
    ({"properties__storageProfile__osDisk__createOption": "Copied"}, "400 BadRequest"),
    ({"properties__storageProfile__osDisk__diskSizeGB": "50"}, "400 BadRequest"),
    ({"properties__storageProfile__osDisk__createOption": None}, "400 InvalidParameter"),
    ({"properties__provisioningState": "Succeeded"}, "409 PropertyChangeNotAllowed"),
    ({"location": None}, "400 LocationRequired"),
    ({"location": "mars"}, "400 LocationNotAvailableForResourceType"),
    ({"tags": {"a/b": "c"}}, "400 InvalidTagNameCharacters"),
    ({"tags": {f"t{number}": "" for number in range(51)}}, "400 TooManyTags"),
    ({"properties__hardwareProfile": None}, "400 InvalidParameter"),
    ({"properties__hardwareProfile__vmSize": "Standard_Z1"}, "400 InvalidParameter"),
    ({"properties__hardwareProfile__vmSize": "Standard_NC24ads_A100_v4", "zones": ["3"]}, "409 SkuNotAvailable"),
    ({"zones": ["4"]}, "400 AvailabilityZoneNotSupported"),
    ({"zones": ["1", "2"]}, "400 InvalidParameter"),
    ({"properties__storageProfile": None}, "400 InvalidParameter"),
    ({f"{IMAGE}__offer": "ubuntu-25_04"}, "404 PlatformImageNotFound"),
    ({f"{IMAGE}__version": None}, "404 PlatformImageNotFound"),
    ({"properties__storageProfile__osDisk__diskSizeGB": 10}, "400 InvalidParameter"),
    ({LOGIN: None}, "400 InvalidParameter"),
    ({f"{LOGIN}__computerName": "under_score"}, "400 InvalidParameter"),
    ({f"{LOGIN}__adminUsername": "root"}, "400 InvalidParameter"),
    ({f"{LOGIN}__customData": "#cloud-config"}, "400 InvalidParameter"),
    ({f"{LOGIN}__customData": "A" * 87_384}, "400 InvalidParameter"),
    ({f"{LOGIN}__linuxConfiguration__ssh": {"publicKeys": []}}, "400 InvalidParameter"),
    ({f"{LOGIN}__adminUsername": "somebody"}, "400 InvalidParameter"),
    ({WIRED: None}, "400 InvalidParameter"),
    ({f"{WIRED}__networkApiVersion": None}, "400 InvalidParameter"),
    ({f"{WIRED}__networkApiVersion": "2019-01-01"}, "400 BadRequest"),
    ({"properties__evictionPolicy": "Delete"}, "400 EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines"),
    ({"properties__billingProfile": {"maxPrice": 1}}, "400 MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines"),
    ({"identity": {"type": "UserAssigned", "userAssignedIdentities": {"/none": {}}}}, "400 FailedIdentityOperation"),
]
SPOT_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"properties__billingProfile": {"maxPrice": 0}}, "400 MaxPriceValueInvalid"),
    ({"properties__billingProfile": {"maxPrice": 0.0001}}, "409 SpotPriceGreaterThanProvidedMaxPrice"),
    ({"properties__hardwareProfile__vmSize": "Standard_B2s"}, "400 AzureSpotIsNotSupportedForThisVMSize"),
]


def test_wrong_orders_of_a_machine(azure: AzureCloud) -> None:
    prepare(azure)
    for spot, table in ((False, MACHINES_REFUSED), (True, SPOT_REFUSED)):
        for changes, wanted in table:
            found = refused(azure, "PUT", f"{MACHINES}/vm", machine(spot, **changes))
            assert (changes, found) == (changes, wanted)
    assert azure.held() == []
    assert launch(azure).status == 201


def test_a_refusal_has_the_shape_of_resource_managers(azure: AzureCloud) -> None:
    prepare(azure)
    reply = launch(azure, properties__bogus=1)
    message = "Could not find member 'bogus' on object of type 'VirtualMachineProperties'. Path 'properties.bogus'"
    assert reply.body["error"]["target"] == "properties.bogus"
    assert reply.message.startswith(message)
    assert reply.headers["Content-Type"].startswith("application/json")


def test_versions_and_paths(azure: AzureCloud) -> None:
    prepare(azure)
    where = f"{MACHINES}/vm"
    assert refused(azure, "GET", where, query="") == "400 MissingApiVersionParameter"
    assert refused(azure, "GET", where, query="api-version=2015-06-15") == "404 InvalidResourceType"
    assert refused(azure, "GET", f"{GROUP}/providers/Microsoft.Compute/machines/vm") == "404 InvalidResourceType"
    assert refused(azure, "GET", f"{GROUP}/providers/Contoso.Compute/machines/vm") == "404 InvalidResourceNamespace"
    assert refused(azure, "GET", "/subscription") == "404 InvalidRequestUri"
    assert refused(azure, "POST", where) == "405 MethodNotAllowed"
    assert refused(azure, "GET", f"{GROUP}/providers/Microsoft.Compute/images/a") == "501 NotImplemented"


def test_query_parameters_that_are_not_known(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure, "vm")
    for path in (
        f"{MACHINES}/vm?$expand=instanceView&$filter=name",
        f"{MACHINES}?expand=instanceView",
        f"{GROUP}?tags=all",
        f"{ROOT}/providers/Microsoft.Compute/skus?location=eastus",
        f"{ROOT}/locations?$top=1",
        f"{NETWORK}/virtualNetworks/net?api_version=1",
    ):
        assert refused(azure, "GET", path) == "400 InvalidQueryParameter", path
    assert refused(azure, "PUT", f"{MACHINES}/vm?$skiptoken=1", machine()) == "400 InvalidQueryParameter"
    assert refused(azure, "DELETE", f"{MACHINES}/vm?force=true") == "400 InvalidQueryParameter"


def test_places_that_are_not_there(azure: AzureCloud) -> None:
    elsewhere = ROOT.replace("5d5c", "6666")
    assert refused(azure, "GET", f"{elsewhere}/resourcegroups") == "404 SubscriptionNotFound"
    assert refused(azure, "PUT", f"{MACHINES}/vm", machine()) == "404 ResourceGroupNotFound"
    assert refused(azure, "GET", GROUP) == "404 ResourceGroupNotFound"
    prepare(azure)
    assert refused(azure, "GET", f"{MACHINES}/vm") == "404 ResourceNotFound"
    assert refused(azure, "PUT", GROUP, {"location": "westus2"}) == "409 InvalidResourceGroupLocation"
    assert refused(azure, "PUT", f"{MACHINES}/vm", machine(location="westus2")) == "400 InvalidResourceReference"
    assert azure.held() == []


def test_bodies_that_are_not_understood(azure: AzureCloud) -> None:
    prepare(azure)
    assert refused(azure, "PUT", f"{MACHINES}/vm", raw=b"{") == "400 InvalidRequestContent"
    assert refused(azure, "PUT", f"{MACHINES}/vm", []) == "400 InvalidRequestContent"
    assert refused(azure, "PUT", GROUP, {"location": "eastus", "bogus": 1}) == "400 InvalidRequestContent"
    assert (
        refused(azure, "PUT", f"{NETWORK}/virtualNetworks/n", {"location": "eastus", "b": 1})
        == "400 InvalidRequestFormat"
    )


def test_a_caller_without_a_good_token(azure: AzureCloud) -> None:
    for token, wanted in (
        ("", "401 AuthenticationFailed"),
        ("nonsense", "401 InvalidAuthenticationToken"),
        (azure.token(seconds=-10), "401 ExpiredAuthenticationToken"),
        (azure.token(audience="https://storage.azure.com"), "401 InvalidAuthenticationTokenAudience"),
    ):
        assert refused(azure, "GET", f"{ROOT}/resourcegroups", token=token) == wanted
    reply = ask(azure, "GET", f"{ROOT}/resourcegroups", token="")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_a_caller_who_may_only_delete_machines(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    token = azure.token(azure.add_client("Microsoft.Compute/virtualMachines/delete", scope=GROUP))
    assert refused(azure, "GET", f"{MACHINES}/vm", token=token) == "403 AuthorizationFailed"
    assert refused(azure, "PUT", f"{MACHINES}/vm2", machine(), token=token) == "403 AuthorizationFailed"
    assert refused(azure, "DELETE", f"{NETWORK}/networkSecurityGroups/rules", token=token) == "403 AuthorizationFailed"
    assert ask(azure, "DELETE", f"{MACHINES}/vm", token=token).status == 202


def test_what_a_request_mentions_takes_a_permission_too(azure: AzureCloud) -> None:
    prepare(azure)
    needed = ["Microsoft.Compute/virtualMachines/write", "Microsoft.Network/virtualNetworks/subnets/join/action"]
    for more in ([], ["Microsoft.Network/networkSecurityGroups/join/action"]):
        token = azure.token(azure.add_client(*needed, *more))
        reply = ask(azure, "PUT", f"{MACHINES}/vm", machine(), token=token)
        assert reply.code == ("" if more else "LinkedAuthorizationFailed")
    operation = reply.headers["Azure-AsyncOperation"].removeprefix(azure.endpoint)
    assert ask(azure, "GET", operation, token=token).code == "AuthorizationFailed"


def test_wrong_networks(azure: AzureCloud) -> None:
    prepare(azure)
    where, rules = f"{NETWORK}/virtualNetworks/other", f"{NETWORK}/networkSecurityGroups/rules"
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/24"]}}
    outside = {**space, "subnets": [{"name": "s", "properties": {"addressPrefix": "10.1.0.0/24"}}]}
    assert (
        refused(azure, "PUT", where, {"location": "eastus", "properties": outside})
        == "400 NetcfgSubnetRangeOutsideVnet"
    )
    again = {**RULE, "name": "other"}
    assert refused(azure, "PUT", f"{rules}/securityRules/other", again) == "400 SecurityRuleConflict"
    low = {"properties": {**RULE["properties"], "priority": 99}}  # type: ignore[dict-item]
    assert refused(azure, "PUT", f"{rules}/securityRules/low", low) == "400 SecurityRuleInvalidPriority"
    address = {"location": "eastus", "sku": {"name": "Basic"}}
    found = refused(azure, "PUT", f"{NETWORK}/publicIPAddresses/ip", address)
    assert found == "400 IPv4BasicSkuPublicIpCountLimitReached"


def test_what_is_in_use_stays(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    held = [each.partition(" ")[2] for each in azure.held()]
    disk, nic, address = (
        next(id for id in held if f"/{kind}/" in id) for kind in ("disks", "networkInterfaces", "publicIPAddresses")
    )
    assert refused(azure, "DELETE", disk) == "409 OperationNotAllowed"
    assert refused(azure, "DELETE", nic) == "400 NicInUse"
    assert refused(azure, "DELETE", address) == "400 PublicIPAddressCannotBeDeleted"
    assert refused(azure, "DELETE", f"{NETWORK}/virtualNetworks/net") == "400 InUseSubnetCannotBeDeleted"
    rules = f"{NETWORK}/networkSecurityGroups/rules"
    assert refused(azure, "DELETE", rules) == "400 InUseNetworkSecurityGroupCannotBeDeleted"


def test_a_machine_that_is_there_is_not_made_anew(azure: AzureCloud) -> None:
    prepare(azure)
    assert launch(azure).status == 201
    assert launch(azure, tags={"owner": "you"}).status == 200
    assert len(azure.instances()) == 1
    assert launch(azure, properties__priority="Spot").code == "PropertyChangeNotAllowed"
    assert launch(azure, zones=["1"]).code == "PropertyChangeNotAllowed"
    only = {"If-None-Match": "*"}
    assert refused(azure, "PUT", f"{MACHINES}/vm", machine(), headers=only) == "412 PreconditionFailed"


def test_a_subscription_that_can_only_be_read_or_lacks_a_service(azure: AzureCloud) -> None:
    prepare(azure)
    assert ask(azure, "POST", f"{ROOT}/providers/Microsoft.Compute/unregister").status == 200
    assert launch(azure).code == "MissingSubscriptionRegistration"
    assert ask(azure, "POST", f"{ROOT}/providers/Microsoft.Compute/register").status == 200
    azure.set(disabled=True)
    assert launch(azure).code == "ReadOnlyDisabledSubscription"
    assert ask(azure, "GET", GROUP).status == 200

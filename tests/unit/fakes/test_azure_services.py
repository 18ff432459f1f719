"""Logins, roles, prices and Blob of the emulated Azure."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any
from urllib.parse import quote, urlencode

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError
from obstore.store import AzureStore

from tests.fakes.azure import LOCATION, AzureCloud
from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.directory import STORAGE
from tests.unit.fakes.azure_requests import GROUP, MACHINES, ROOT, ask, launch, prepare, refused

pytestmark = pytest.mark.azure

ROLES = f"{ROOT}/providers/Microsoft.Authorization/roleDefinitions"
DELETER = str(uuid.uuid5(uuid.NAMESPACE_URL, "deleter"))
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/machines"


def log_in(cloud: AzureCloud, **changes: str) -> dict[str, Any]:
    """What the token endpoint answers."""
    form = {
        **{"grant_type": "client_credentials", "client_id": cloud.client, "client_secret": cloud.secret},
        **{"scope": "https://management.azure.com/.default", **changes},
    }
    tenant = form.pop("tenant", cloud.tenant)
    url = f"{cloud.endpoint}/{tenant}/oauth2/v2.0/token"
    try:
        with urllib.request.urlopen(url, urlencode(form).encode(), timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        found = json.loads(refused.read())
    return found


def test_a_login_gives_a_token_that_is_good(azure: AzureCloud) -> None:
    token = log_in(azure)["access_token"]
    assert ask(azure, "GET", f"{ROOT}/resourcegroups", token=token).status == 200
    assert log_in(azure, client_secret="wrong")["error_description"].startswith("AADSTS7000215")
    assert log_in(azure, client_id="wrong")["error_description"].startswith("AADSTS700016")
    assert log_in(azure, tenant="wrong")["error_description"].startswith("AADSTS90002")
    assert log_in(azure, scope="https://management.azure.com")["error"] == "invalid_scope"
    azure.set(token_seconds=-1)
    old = log_in(azure)["access_token"]
    assert ask(azure, "GET", f"{ROOT}/resourcegroups", token=old).code == "ExpiredAuthenticationToken"


def test_microsofts_own_library_logs_in(azure: AzureCloud) -> None:
    """It speaks TLS only; here its transport doesn't."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.core.pipeline.transport import RequestsTransport
    from azure.identity import ClientSecretCredential

    class Plain(RequestsTransport):  # type: ignore[misc]
        def send(self, request: Any, **more: Any) -> Any:
            request.url = request.url.replace("https://", "http://", 1)
            return super().send(request, **more)

    def token(secret: str) -> str:
        where: Any = {"authority": azure.endpoint.replace("http://", "https://"), "disable_instance_discovery": True}
        login = ClientSecretCredential(azure.tenant, azure.client, secret, transport=Plain(), **where)
        return str(login.get_token("https://management.azure.com/.default").token)

    assert ask(azure, "GET", f"{ROOT}/resourcegroups", token=token(azure.secret)).status == 200
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        token("wrong")


def define(cloud: AzureCloud, **changes: Any) -> str:
    permissions = [{"actions": ["Microsoft.Compute/virtualMachines/delete"], "notActions": []}]
    properties = {"roleName": "deleter", "type": "CustomRole", "permissions": permissions, "assignableScopes": [ROOT]}
    return ask(cloud, "PUT", f"{ROLES}/{DELETER}", {"properties": {**properties, **changes}}).code


def assign(cloud: AzureCloud, principal: str, **more: str) -> str:
    properties = {"roleDefinitionId": f"{ROLES}/{DELETER}", "principalId": principal, **more}
    id = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid5(uuid.NAMESPACE_URL, principal)}"
    return ask(cloud, "PUT", id, {"properties": properties}).code


def test_a_role_takes_effect_late_and_only_in_its_scope(azure: AzureCloud) -> None:
    prepare(azure)
    launch(azure)
    assert define(azure) == ""
    made = ask(azure, "PUT", IDENTITY, {"location": "eastus"}).body["properties"]
    token = azure.token(made["clientId"])
    azure.set(role_seconds=3600)
    assert assign(azure, made["principalId"]) == ""
    assert ask(azure, "DELETE", f"{MACHINES}/vm", token=token).code == "AuthorizationFailed"
    other = ask(azure, "PUT", f"{IDENTITY}2", {"location": "eastus"}).body["properties"]
    azure.set(role_seconds=0)
    assert assign(azure, other["principalId"]) == ""
    assert ask(azure, "GET", f"{MACHINES}/vm", token=azure.token(other["clientId"])).code == "AuthorizationFailed"
    assert ask(azure, "DELETE", f"{MACHINES}/vm", token=azure.token(other["clientId"])).status == 202


def test_wrong_roles_and_assignments(azure: AzureCloud) -> None:
    prepare(azure)
    assert assign(azure, "nobody") == "RoleDefinitionDoesNotExist"
    bad = [{"actions": ["Contoso.Compute/machines/delete"]}]
    assert define(azure, permissions=bad) == "InvalidActionOrNotAction"
    assert define(azure, bogus=1) == "InvalidRequestContent"
    assert define(azure) == ""
    assert assign(azure, "nobody") == "PrincipalNotFound"
    azure.set(principal_seconds=3600)
    made = ask(azure, "PUT", IDENTITY, {"location": "eastus"}).body["properties"]
    assert assign(azure, made["principalId"]) == "PrincipalNotFound"
    assert assign(azure, made["principalId"], principalType="ServicePrincipal") == ""
    again = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    properties = {"roleDefinitionId": f"{ROLES}/{DELETER}", "principalId": made["principalId"]}
    reply = ask(azure, "PUT", again, {"properties": {**properties, "principalType": "ServicePrincipal"}})
    assert (reply.status, reply.code) == (409, "RoleAssignmentExists")


def prices(cloud: AzureCloud, filter: str) -> list[dict[str, Any]]:
    """All pages."""
    url, found = f"{cloud.endpoint}/api/retail/prices?$filter={quote(filter)}", []
    while url:
        with urllib.request.urlopen(url.replace(" ", "%20"), timeout=30) as answer:
            page = json.loads(answer.read())
        found += page["Items"]
        url = page["NextPageLink"]
    return found


def test_prices_mind_the_case_and_come_in_pages(azure: AzureCloud) -> None:
    size = "armRegionName eq 'eastus' and armSkuName eq 'Standard_NC4as_T4_v3' and priceType eq 'Consumption'"
    found = prices(azure, size)
    linux = {row["meterName"]: row["retailPrice"] for row in found if "Windows" not in row["productName"]}
    assert set(linux) == {"NC4as T4 v3", "NC4as T4 v3 Spot", "NC4as T4 v3 Low Priority"}
    assert 0 < linux["NC4as T4 v3 Spot"] < linux["NC4as T4 v3"] == 0.526
    assert any("Windows" in row["productName"] for row in found)
    assert prices(azure, "serviceName eq 'virtual machines'") == []
    assert len(prices(azure, "")) > 1000
    azure.fail("retail_prices.list", "TooManyRequests", times=1)
    with pytest.raises(urllib.error.HTTPError):
        prices(azure, "")


@pytest.mark.azurite
def test_blobs_by_token_with_conditions(azure: AzureCloud) -> None:
    container = azure.make_container()
    store = open_store(azure, container, azure.token(audience=STORAGE))
    first = obstore.put(store, "a/one two", b"1")
    second = obstore.put(store, "a/one two", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "a/one two", b"3", mode={"e_tag": first["e_tag"]})
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a/one two", b"3", mode="create")
    assert bytes(obstore.get(store, "a/one two").bytes()) == b"2"
    assert obstore.head(store, "a/one two")["e_tag"] == second["e_tag"]
    obstore.put(store, "large", bytes(12_000_000))
    obstore.copy(store, "large", "copy")
    assert sorted(each["path"] for each in obstore.list(store).collect()) == ["a/one two", "copy", "large"]
    obstore.delete(store, ["a/one two", "copy", "large"])
    assert obstore.list(store).collect() == []


@pytest.mark.azurite
def test_blobs_without_the_right_to_data(azure: AzureCloud) -> None:
    """An owner of the subscription has none of it, and neither has a token for Resource Manager."""
    container = azure.make_container()
    client = azure.add_client("*")
    with pytest.raises(PermissionDeniedError):
        obstore.put(open_store(azure, container, azure.token(client, STORAGE)), "a", b"1")
    with pytest.raises(Exception, match="InvalidAuthenticationInfo"):
        obstore.put(open_store(azure, container, azure.token()), "a", b"1")


def open_store(cloud: AzureCloud, container: str, token: str) -> AzureStore:
    known = {"endpoint": f"{cloud.endpoint}/{ACCOUNT}", "account_name": ACCOUNT, "bearer_token": token}
    return AzureStore(container, config=known, client_options={"allow_http": True})  # type: ignore[arg-type]


def extension(**changes: Any) -> Any:
    known = {"publisher": "Microsoft.HpcCompute", "type": "NvidiaGpuDriverLinux", "typeHandlerVersion": "1.6"}
    return {"location": LOCATION, "properties": {**known, "autoUpgradeMinorVersion": True, **changes}}


def test_extensions_are_refused_as_azure_does(azure: AzureCloud) -> None:
    prepare(azure)
    where = f"{MACHINES}/vm/extensions/driver"
    assert refused(azure, "PUT", where, extension()) == "404 ParentResourceNotFound"
    launch(azure)
    for body, wanted in (
        (extension(publisher="Contoso"), "404 ArtifactNotFound"),
        (extension(typeHandlerVersion="0.1"), "404 ArtifactNotFound"),
        (extension(typeHandlerVersion=None), "400 InvalidParameter"),
        (extension(bogus=1), "400 BadRequest"),
        (extension(autoUpgradeMinorVersion="yes"), "400 BadRequest"),
        (extension(provisioningState="Succeeded"), "409 PropertyChangeNotAllowed"),
        ({**extension(), "location": "westus2"}, "400 InvalidParameter"),
        ({"properties": extension()["properties"]}, "400 LocationRequired"),
    ):
        assert refused(azure, "PUT", where, body) == wanted, body
    assert refused(azure, "GET", where) == "404 ResourceNotFound"
    azure.power_off("vm")
    assert refused(azure, "PUT", where, extension()) == "409 OperationNotAllowed"


def test_a_driver_needs_a_gpu_and_goes_with_its_machine(azure: AzureCloud) -> None:
    prepare(azure)
    for name, size, state in (("cpu", "Standard_D2s_v5", "Failed"), ("gpu", "Standard_NC4as_T4_v3", "Succeeded")):
        launch(azure, name, properties__hardwareProfile={"vmSize": size})
        where = f"{MACHINES}/{name}/extensions/driver"
        assert ask(azure, "PUT", where, extension()).status == 201
        found = ask(azure, "GET", f"{where}?$expand=instanceView").body["properties"]
        assert (found["provisioningState"], len(found["instanceView"]["statuses"])) == (state, 1)
        assert ask(azure, "GET", f"{MACHINES}/{name}").body["properties"]["provisioningState"] == state
    assert "No NVIDIA GPU" in str(ask(azure, "GET", f"{MACHINES}/cpu/extensions?$expand=instanceView").body)
    ask(azure, "DELETE", f"{MACHINES}/gpu")
    assert refused(azure, "GET", f"{MACHINES}/gpu/extensions/driver") == "404 ParentResourceNotFound"

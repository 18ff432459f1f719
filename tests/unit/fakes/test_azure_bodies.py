"""Virtual machines with sandbox machines behind them, as whoever made them sees them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest

from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from tests import leftovers
from tests.fakes.azure import AzureCloud
from tests.unit.fakes.azure_requests import GROUP, MACHINES, ask, launch, power, prepare
from tests.unit.fakes.launches import until
from tests.unit.sandbox import machines

pytestmark = [pytest.mark.azure, pytest.mark.sandbox, pytest.mark.azurite]

IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/machines"
# asks its metadata service; "400" and the like where that refuses
ASK = """
import sys, urllib.error, urllib.request as u
try:
    ask = u.Request("http://169.254.169.254/metadata/" + sys.argv[1], headers={"Metadata": "true"})
    print(u.urlopen(ask, timeout=20).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
""".replace("'", '"')
TOKEN = "identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"


@dataclass
class Body:
    name: str
    id: str
    connection: Connection

    def metadata(self, path: str) -> str:
        done = self.connection.run(f"python3 -c '{ASK}' '{path}'")
        assert done.code == 0, done
        return done.out.decode().strip()


def boot(cloud: AzureCloud, name: str, *, spot: bool = False, identity: str = "") -> Body:
    host, client = keys.generate(), keys.generate()
    document = user_data(
        host_private=host.private,
        host_public=host.public,
        client_public=client.public,
        user=LOGIN_USER,
        dead_man_seconds=900,
    )
    data = base64.b64encode(document.encode()).decode()
    changes = {"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}} if identity else {}
    assert launch(cloud, name, spot=spot, properties__osProfile__customData=data, **changes).status == 201
    [found] = until(lambda: [each for each in cloud.instances("running") if each["name"] == name])
    endpoint = Endpoint(LOGIN_USER, found["address"], 22)
    return Body(name, found["id"], machines.connect(endpoint, Trust(client.private, (host.public,))))


def bodies(cloud: AzureCloud) -> list[str]:
    return [text for text in leftovers.in_docker() if cloud.label in text and text.startswith("container")]


def nothing(cloud: AzureCloud) -> bool:
    return (cloud.held(), bodies(cloud)) == ([], [])


def test_a_spot_machine_boots_is_told_of_its_end_and_evicted(whole_azure: AzureCloud) -> None:
    prepare(whole_azure)
    body = boot(whole_azure, "vm", spot=True)
    assert body.metadata("instance/compute/name?api-version=2021-02-01&format=text") == "vm"
    where = body.metadata("instance/compute/resourceId?api-version=2021-02-01&format=text")
    assert where == f"{MACHINES}/vm"
    assert body.metadata(TOKEN) == "400"
    events = "scheduledevents?api-version=2020-07-01"
    assert json.loads(body.metadata(events))["Events"] == []
    whole_azure.interrupt(body.id, 3)
    [event] = json.loads(body.metadata(events))["Events"]
    assert (event["EventType"], event["Resources"]) == ("Preempt", ["vm"])
    until(lambda: power(whole_azure) == "gone")
    assert whole_azure.instances()[0]["reason"] == "evicted"
    until(lambda: nothing(whole_azure))


def test_a_machine_deletes_itself_as_its_identity_allows(whole_azure: AzureCloud) -> None:
    prepare(whole_azure)
    made = ask(whole_azure, "PUT", IDENTITY, {"location": "eastus"}).body["properties"]
    body = boot(whole_azure, "vm", identity=IDENTITY)
    token = json.loads(body.metadata(TOKEN))["access_token"]
    assert ask(whole_azure, "DELETE", f"{MACHINES}/vm", token=token).code == "AuthorizationFailed"
    role = "b24988ac-6180-42a0-ab88-20f7382dd24c"
    id = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{made['principalId']}"
    properties = {"roleDefinitionId": f"/x/roleDefinitions/{role}", "principalId": made["principalId"]}
    assert ask(whole_azure, "PUT", id, {"properties": properties}).status == 201
    assert ask(whole_azure, "DELETE", f"{MACHINES}/vm", token=token).status == 202
    until(lambda: nothing(whole_azure))


def test_a_poweroff_from_inside_only_stops_it(whole_azure: AzureCloud) -> None:
    prepare(whole_azure)
    body = boot(whole_azure, "vm")
    body.connection.run("sudo systemctl poweroff")
    until(lambda: power(whole_azure) == "stopped")
    assert len(whole_azure.held()) == 4
    assert ask(whole_azure, "DELETE", f"{MACHINES}/vm").status == 202
    until(lambda: nothing(whole_azure))


def test_one_that_is_deleted_while_it_boots_leaves_nothing(whole_azure: AzureCloud) -> None:
    prepare(whole_azure)
    assert launch(whole_azure).status == 201
    assert ask(whole_azure, "DELETE", f"{MACHINES}/vm").status == 202
    until(lambda: nothing(whole_azure))

"""Requests to the emulated Azure as they go over the wire, without any SDK."""

from __future__ import annotations

import copy
import functools
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.azure import LOCATION, AzureCloud
from tests.fakes.azure.routes import Routes
from tests.fakes.azure.world import SUBSCRIPTION

Json = dict[str, Any]
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
MACHINES = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"
SUBNET = f"{NETWORK}/virtualNetworks/net/subnets/default"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Of the refusal, "" where there is none."""
        return str(self.body["error"]["code"]) if self.status >= 400 and self.body else ""

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


@functools.cache
def _routes() -> Routes:
    return Routes()


def version(method: str, path: str) -> str:
    """The one that Microsoft's client asks for."""
    match = _routes().find(method, path.partition("?")[0])
    return match.route.versions[0] if match and match.route.versions else "2024-07-01"


def ask(cloud: AzureCloud, method: str, path: str, body: Any = None, **more: Any) -> Reply:
    """`more`: `token`, `query` (with an `api-version` of its own, or none), `headers`, `raw` (bytes instead of a body)."""
    where = urlsplit(cloud.endpoint)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    known = "" if "api-version=" in path else more.get("query", f"api-version={version(method, path)}")
    token = more.get("token", cloud.token())
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.get("headers", {})}
    data = more.get("raw", None if body is None else json.dumps(body).encode())
    try:
        url = f"{path}{'&' if '?' in path else '?'}{known}" if known else path
        connection.request(method, url, data, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read()
        return Reply(answer.status, dict(answer.getheaders()), json.loads(text) if text else None)
    finally:
        connection.close()


def refused(cloud: AzureCloud, method: str, path: str, body: Any = None, **more: Any) -> str:
    """The code of the refusal, with its status: "400 BadRequest"."""
    reply = ask(cloud, method, path, body, **more)
    assert reply.status >= 400, reply
    return f"{reply.status} {reply.code}"


def prepare(cloud: AzureCloud, location: str = LOCATION) -> None:
    """A resource group `rg` with a network `net` and a security group `rules`."""
    assert ask(cloud, "PUT", GROUP, {"location": location}).status == 201
    subnet = {"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]}
    assert (
        ask(cloud, "PUT", f"{NETWORK}/virtualNetworks/net", {"location": location, "properties": space}).status == 201
    )
    rules = {"location": location, "properties": {"securityRules": [RULE]}}
    assert ask(cloud, "PUT", f"{NETWORK}/networkSecurityGroups/rules", rules).status == 201


RULE = {
    "name": "ssh",
    "properties": {
        **{
            "protocol": "Tcp",
            "sourcePortRange": "*",
            "destinationPortRange": "22",
            "sourceAddressPrefix": "10.1.2.3/32",
        },
        **{"destinationAddressPrefix": "*", "access": "Allow", "priority": 100, "direction": "Inbound"},
    },
}
_ADDRESS = {"name": "ip", "sku": {"name": "Standard"}, "properties": {"deleteOption": "Delete"}}
_CONFIGURATION = {"name": "ip", "properties": {"subnet": {"id": SUBNET}, "publicIPAddressConfiguration": _ADDRESS}}
_INTERFACE = {
    "name": "nic",
    "properties": {
        **{"deleteOption": "Delete", "primary": True, "ipConfigurations": [_CONFIGURATION]},
        "networkSecurityGroup": {"id": f"{NETWORK}/networkSecurityGroups/rules"},
    },
}
_MACHINE: Json = {
    "location": LOCATION,
    "tags": {"owner": "me"},
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {
            "imageReference": {
                **{"publisher": "Canonical", "offer": "ubuntu-24_04-lts"},
                **{"sku": "server", "version": "latest"},
            },
            "osDisk": {"createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": 50},
        },
        "osProfile": {
            **{"computerName": "vm", "adminUsername": "ubuntu", "customData": "I2Nsb3VkLWNvbmZpZwo="},
            "linuxConfiguration": {
                "disablePasswordAuthentication": True,
                "ssh": {"publicKeys": [{"path": "/home/ubuntu/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]},
            },
        },
        "networkProfile": {"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": [_INTERFACE]},
    },
}
SPOT = {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}


def machine(spot: bool = False, **changes: Any) -> Json:
    """A machine's order. `changes`: by path ("properties.priority" as `properties__priority`); None takes the member away."""
    found = copy.deepcopy(_MACHINE)
    if spot:
        found["properties"].update(copy.deepcopy(SPOT))
    for path, value in changes.items():
        *above, last = path.split("__")
        place = found
        for name in above:
            place = place[name]
        place[last] = value
        if value is None:
            del place[last]
    return found


def launch(cloud: AzureCloud, name: str = "vm", *, spot: bool = False, **changes: Any) -> Reply:
    return ask(cloud, "PUT", f"{MACHINES}/{name}", machine(spot, **changes))


def settled(cloud: AzureCloud, reply: Reply) -> Json:
    """What its operation says, asked once."""
    found: Json = ask(cloud, "GET", reply.headers["Azure-AsyncOperation"].removeprefix(cloud.endpoint)).body
    return found


def power(cloud: AzureCloud, name: str = "vm") -> str:
    """A machine's power state; "gone" where there is none."""
    reply = ask(cloud, "GET", f"{MACHINES}/{name}/instanceView")
    if reply.status == 404:
        return "gone"
    codes = [each["code"] for each in reply.body["statuses"]]
    return next((code.rpartition("/")[2] for code in codes if code.startswith("PowerState/")), "")

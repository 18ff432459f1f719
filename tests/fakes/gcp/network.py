"""Networks, their subnets and firewall rules.

https://cloud.google.com/compute/docs/reference/rest/v1/networks, .../subnetworks and .../firewalls
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.fakes.gcp import listing, places
from tests.fakes.gcp.attachments import MISSING, invalid
from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.operations import Change
from tests.fakes.gcp.places import LINK, path_of
from tests.fakes.gcp.resources import Resources
from tests.fakes.gcp.wire import Json, Refusal

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

IN_USE = "The {} resource '{}' is already being used by '{}'"


def add_default(resources: Resources, project: str) -> None:
    """The network that a new project has, with a subnet in each region. https://cloud.google.com/vpc/docs/vpc#default-network"""
    path = f"projects/{project}/global/networks/default"
    subnets = []
    for index, region in enumerate(places.ZONES):
        subnet = f"projects/{project}/regions/{region}/subnetworks/default"
        subnets.append(LINK + subnet)
        document = {
            "name": "default", "network": LINK + path, "ipCidrRange": f"10.{128 + 2 * index}.0.0/20",
            "region": f"{LINK}projects/{project}/regions/{region}", "gatewayAddress": f"10.{128 + 2 * index}.0.1",
            "privateIpGoogleAccess": False, "purpose": "PRIVATE", "stackType": "IPV4_ONLY",
        }  # fmt: skip
        resources.add(subnet, "subnetwork", document)
    routing = {"routingMode": "REGIONAL"}
    document = {"name": "default", "autoCreateSubnetworks": True, "subnetworks": subnets, "routingConfig": routing}
    resources.add(path, "network", document)


class Networks:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> Mapping[str, Handler]:
        known: dict[str, Handler] = {
            "firewalls.insert": self._insert_firewall, "firewalls.delete": self._delete, "firewalls.patch": self._patch_firewall,
            "networks.insert": self._insert_network, "networks.delete": self._delete, "subnetworks.delete": self._delete,
            "subnetworks.insert": self._insert_subnet, "subnetworks.aggregatedList": self._all_subnets,
        }  # fmt: skip
        for kind in ("firewalls", "networks", "subnetworks"):
            known |= {f"{kind}.get": self._get, f"{kind}.list": self._list}
        return {f"compute.{name}": handler for name, handler in known.items()}

    def _get(self, call: Call) -> Json:
        return self._world.resources.get(call.path)

    def _list(self, call: Call) -> Json:
        if "region" in call.arguments:
            places.check_region(call.arguments["region"], call.path)
        return listing.page(call, self._world.resources.below(call.path), call.path.rpartition("/")[2][:-1])

    def _all_subnets(self, call: Call) -> Json:
        found = self._world.resources.listed("subnetworks", call.project, 0)
        return listing.aggregated(call, found, "subnetwork", [f"regions/{region}" for region in places.ZONES])

    def _delete(self, call: Call) -> Json:
        document = self._world.resources.get(call.path)
        path, kind = path_of(document["selfLink"], ""), call.path.split("/")[-2][:-1]
        users = self._users(path)
        if users:
            raise Refusal(400, IN_USE.format(kind, path, users[0]), "resourceInUseByAnotherResource")
        change = Change(lambda: self._world.resources.remove(path))
        return self._world.start(call, path, "delete", change, call.fault)

    def _users(self, path: str) -> list[str]:
        resources = self._world.resources
        others = [*resources.all("firewalls"), *resources.all("subnetworks")]
        found = [path_of(each["selfLink"], "") for each in others if each.get("network") == LINK + path]
        for each in resources.all("instances"):
            links = {nic[kind] for nic in each["networkInterfaces"] for kind in ("network", "subnetwork")}
            found += [path_of(each["selfLink"], "")] if LINK + path in links else []
        return found

    def _insert_firewall(self, call: Call) -> Json:
        path = f"{call.path}/{call.body['name']}"
        network = path_of(call.body.get("network", "global/networks/default"), call.path)
        if network not in self._world.resources:
            raise invalid("network", call.body.get("network"), MISSING)
        _check_rule(call.body)
        common = {"priority": 1000, "direction": "INGRESS", "disabled": False, "logConfig": {"enable": False}}
        sources = (
            {"sourceRanges": ["0.0.0.0/0"]} if not _sources(call.body) and "destinationRanges" not in call.body else {}
        )
        return self._make(call, path, "firewall", {**common, **sources, **call.body, "network": LINK + network})

    def _patch_firewall(self, call: Call) -> Json:
        document = self._world.resources.get(call.path)
        _check_rule({**document, **call.body})
        change = Change(lambda: document.update(call.body))
        return self._world.start(call, path_of(document["selfLink"], ""), "patch", change, call.fault)

    def _insert_network(self, call: Call) -> Json:
        path = f"{call.path}/{call.body['name']}"
        if "autoCreateSubnetworks" not in call.body:
            raise invalid("IPv4Range", "", "Legacy networks are not supported: set autoCreateSubnetworks.")
        return self._make(call, path, "network", {"routingConfig": {"routingMode": "REGIONAL"}, **call.body})

    def _insert_subnet(self, call: Call) -> Json:
        if "name" not in call.body:
            raise Refusal(400, "Required field 'resource.name' not specified", "required")
        path = f"{call.path}/{call.body['name']}"
        network = path_of(call.body.get("network", ""), call.path)
        if network not in self._world.resources:
            raise invalid("network", call.body.get("network"), MISSING)
        _check_range(call.body.get("ipCidrRange", ""), "ipCidrRange")
        region = f"{LINK}projects/{call.project}/regions/{call.arguments['region']}"
        return self._make(call, path, "subnetwork", {**call.body, "network": LINK + network, "region": region})

    def _make(self, call: Call, path: str, kind: str, document: Json) -> Json:
        if path in self._world.resources:
            raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
        if call.fault is None or call.fault.after:
            self._world.resources.add(path, kind, document)
        return self._world.start(call, path, "insert", Change(), call.fault)


def _sources(rule: Json) -> bool:
    return any(rule.get(name) for name in ("sourceRanges", "sourceTags", "sourceServiceAccounts"))


def _check_rule(rule: Json) -> None:
    """https://cloud.google.com/firewall/docs/firewalls#firewall_rule_components"""
    if bool(rule.get("allowed")) == bool(rule.get("denied")):
        raise invalid("allowed", "", "Exactly one of allowed and denied must be specified.")
    for index, each in enumerate(rule.get("allowed") or rule["denied"]):
        if not each.get("IPProtocol"):
            raise invalid(f"allowed[{index}].IPProtocol", "", "The protocol must be specified.")
        for port in each.get("ports", []):
            if not all(part.isdigit() and int(part) < 2**16 for part in port.split("-")):
                raise invalid(f"allowed[{index}].ports", port, "Not a port or a range of ports.")
    for name in ("sourceRanges", "destinationRanges"):
        for index, each in enumerate(rule.get(name, [])):
            _check_range(each, f"{name}[{index}]")
    for tag in rule.get("targetTags", []):
        if not places.NAME.fullmatch(tag):
            raise invalid("targetTags", tag, f"Must be a match of regex '{places.NAME.pattern}'")


def _check_range(text: str, field: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise invalid(field, text, "Must be a valid CIDR range.") from None

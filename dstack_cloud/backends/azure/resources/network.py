"""Where machines are put: a virtual network of ours in each region, with one security group: SSH from this computer and nothing
else. Machines that work together have a subnet of their own, in which they reach each other."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import is_missing, translated
from dstack_cloud.backends.azure.resources.groups import Groups
from dstack_cloud.backends.base.own_address import OwnAddress
from dstack_cloud.errors import BackendError

log = logging.getLogger(__name__)

NETWORK, RULES, SSH = "dstack", "dstack", "ssh"
# one for machines by themselves, one for those that work together
ALONE, TOGETHER = "machines", "nodes"
# rules are looked at in this order: https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview
SSH_PRIORITY, NODES_PRIORITY, NOBODY_PRIORITY = 1000, 1100, 4000
# the whole of it; a network takes seconds to be made
NETWORK_SECONDS = 120.0


class Network:
    """Threads share it."""

    def __init__(self, client: AzureClient, groups: Groups) -> None:
        self._client, self._groups = client, groups
        self._own = OwnAddress(client.config.endpoint)
        self._lock = threading.Lock()
        self._regions: dict[str, threading.Lock] = {}
        self._made: set[str] = set()
        self._opened: dict[str, tuple[str, ...]] = {}

    def subnet(self, region: str, *, together: bool = False) -> str:
        """The resource id of the subnet where machines of a region are put, open to this computer; those that are to work
        `together` in one of their own. Made at the first launch there."""
        with self._one_at_a_time(region):
            if region not in self._made:
                self._ensure(region)
                self._made.add(region)
            self._open(region)
        vnet = self._groups.thing(region, "Microsoft.Network/virtualNetworks", NETWORK)
        return f"{vnet}/subnets/{TOGETHER if together else ALONE}"

    def let_in(self, region: str) -> None:
        """This computer may have another address than when the machines there were made: they are reached from it all the
        same. What can't be done now is tried again with the next look at them."""
        if self._client.config.ssh_from:
            return
        try:
            with self._one_at_a_time(region):
                self._open(region)
        except BackendError as refused:
            log.info("%s: %s", region, refused.summary)

    def forget(self, region: str) -> None:
        """What was found there isn't there any more."""
        with self._one_at_a_time(region):
            self._made.discard(region)
            self._opened.pop(region, None)

    def _one_at_a_time(self, region: str) -> threading.Lock:
        with self._lock:
            return self._regions.setdefault(region, threading.Lock())

    def _ensure(self, region: str) -> None:
        """The network is made last: where it is, all of it is."""
        group = self._groups.ensure(region)
        network = self._client.network()
        if self._is_whole(region, group):
            return
        common = {"location": region, "tags": self._groups.tags}
        allowed = self._allowed()
        rules: Any = {**common, "properties": {"securityRules": self._rules(allowed)}}
        self._await(region, lambda: network.network_security_groups.begin_create_or_update(group, RULES, rules))
        self._opened[region] = allowed
        vnet: Any = {**common, "properties": self._network(region)}
        self._await(region, lambda: network.virtual_networks.begin_create_or_update(group, NETWORK, vnet))

    def _is_whole(self, region: str, group: str) -> bool:
        try:
            with translated(f"{region} {NETWORK}"):
                found = self._client.network().virtual_networks.get(group, NETWORK).as_dict()
        except BackendError as refused:
            if is_missing(refused):
                return False
            raise
        return (found.get("properties") or {}).get("provisioningState") == "Succeeded"

    def _open(self, region: str) -> None:
        """Addresses that this computer had before may be somebody else's by now: they are closed."""
        allowed = self._allowed()
        if self._opened.get(region) != allowed:
            group, rules = self._groups.name(region), self._client.network().security_rules
            rule: Any = {"properties": _ssh(allowed)["properties"]}
            self._await(region, lambda: rules.begin_create_or_update(group, RULES, SSH, rule))
            self._opened[region] = allowed

    def _allowed(self) -> tuple[str, ...]:
        return self._client.config.ssh_from or (self._own.network(),)

    def _network(self, region: str) -> dict[str, Any]:
        rules = {"id": self._groups.thing(region, "Microsoft.Network/networkSecurityGroups", RULES)}
        parts = zip((ALONE, TOGETHER), self._halves(), strict=True)
        return {
            "addressSpace": {"addressPrefixes": [self._client.config.address_space]},
            "subnets": [
                {"name": name, "properties": {"addressPrefix": prefix, "networkSecurityGroup": rules}}
                for name, prefix in parts
            ],
        }

    def _halves(self) -> list[str]:
        return [
            str(half) for half in ipaddress.IPv4Network(self._client.config.address_space).subnets(prefixlen_diff=1)
        ]

    def _rules(self, allowed: tuple[str, ...]) -> list[dict[str, Any]]:
        """Azure itself lets machines of one network reach each other: that is closed, but for those that work together."""
        _, together = self._halves()
        mesh = {"sourceAddressPrefix": together, "destinationAddressPrefix": together}
        others = {"sourceAddressPrefix": "VirtualNetwork", "destinationAddressPrefix": "*"}
        return [
            _ssh(allowed),
            _rule("nodes", NODES_PRIORITY, access="Allow", protocol="*", port="*", **mesh),
            _rule("nobody-else", NOBODY_PRIORITY, access="Deny", protocol="*", port="*", **others),
        ]

    def _await(self, region: str, begin: Callable[[], Any]) -> None:
        with translated(f"{region} {NETWORK}"):
            begin().result(NETWORK_SECONDS)


def _ssh(allowed: tuple[str, ...]) -> dict[str, Any]:
    places: dict[str, Any] = {"sourceAddressPrefixes": list(allowed), "destinationAddressPrefix": "*"}
    return _rule(SSH, SSH_PRIORITY, access="Allow", protocol="Tcp", port="22", **places)


def _rule(name: str, priority: int, *, access: str, protocol: str, port: str, **places: object) -> dict[str, Any]:
    properties = {
        "priority": priority,
        "direction": "Inbound",
        "access": access,
        "protocol": protocol,
        "sourcePortRange": "*",
        "destinationPortRange": port,
        **places,
    }
    return {"name": name, "properties": properties}

"""Where machines are put: a subnet of each region that is there already, and firewall rules of ours that aim at their tags: one for
all, and one more for machines that work together."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.base.own_address import OwnAddress
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import NOT_FOUND, TAKEN, translated
from dstack_cloud.backends.gcp.resources.operations import Operations
from dstack_cloud.errors import BackendError, InvalidConfiguration, Unavailable

log = logging.getLogger(__name__)

# regions, zones and subnets hardly ever change
AGE_SECONDS = 3600.0
# what making or changing a rule may take
RULE_SECONDS = 60.0
SSH_PORT = "22"
LIST_REGIONS = "`gcloud compute regions list` shows those that there are"


@dataclass(frozen=True)
class Region:
    """`subnet` is its path; machines can be put into each of the zones."""

    subnet: str
    zones: tuple[str, ...]


class Network:
    """`prefix` is what the names of an installation's rules begin with. A rule's name is also the tag of the machines that it is
    for. Threads share it."""

    def __init__(self, client: GcpClient, operations: Operations, prefix: str) -> None:
        self._client, self._operations, self._prefix = client, operations, prefix
        self._lock = threading.Lock()
        self._regions = Memory[str, Region](AGE_SECONDS)
        self._rules: dict[str, tuple[str, ...]] = {}
        self._own = OwnAddress(client.config.endpoint)

    def region(self, name: str) -> Region:
        """Raises InvalidConfiguration where the network has no subnet there, or there is no such region."""
        return self._regions.get(name, lambda: self._look(name))

    def zones(self, region: str) -> tuple[str, ...]:
        return self.region(region).zones

    def ssh_tag(self) -> str:
        """The tag of machines that are reached by SSH from this computer, or from the configured networks, and in no other way."""
        named = self._client.config.ssh_from
        name = self._name("ssh", *named)
        allowed = named or (self._own.network(),)
        self._ensure(name, allowed, {"source_ranges": list(allowed), "allowed": [_tcp(SSH_PORT)]})
        return name

    def nodes_tag(self) -> str:
        """The tag of machines that reach each other at every port."""
        name = self._name("nodes")
        self._ensure(name, (name,), {"source_tags": [name], "allowed": [{"I_p_protocol": "all"}]})
        return name

    def let_in(self) -> None:
        """This computer may have another address than when the machines were made: they are reached from it all the same. What
        can't be done now is tried again with the next look at them."""
        if self._client.config.ssh_from:
            return
        try:
            self.ssh_tag()
        except BackendError as refused:
            log.info("the firewall rule stays as it is: %s", refused.summary)

    def forget(self) -> None:
        """What was found or made there isn't there any more."""
        self._regions.forget()
        with self._lock:
            self._rules.clear()

    def _name(self, purpose: str, *more: str) -> str:
        """Another network, or other networks that are let in, need a rule of their own."""
        network = self._client.config.network
        own = () if network == "default" and not more else (network, *more)
        digest = f"-{hashlib.sha256(' '.join(own).encode()).hexdigest()[:8]}" if own else ""
        return f"{self._prefix}-{purpose}{digest}"

    def _look(self, name: str) -> Region:
        project, how = self._client.project, self._client.reading
        zones = self._zones(name)
        with translated(name):
            subnets = list(self._client.subnetworks().list(request={"project": project, "region": name}, **how))
        network, wanted = self._client.config.network, self._client.config.subnet
        mine = [each for each in subnets if str(each.network).rpartition("/")[2] == network]
        # always the same choice: a launch that is asked again must ask for the same
        chosen = sorted(str(each.name) for each in mine if not wanted or each.name == wanted)
        if not chosen:
            raise InvalidConfiguration(*_nowhere(name, network, wanted), scope="region")
        return Region(f"projects/{project}/regions/{name}/subnetworks/{chosen[0]}", zones)

    def _zones(self, region: str) -> tuple[str, ...]:
        request = {"project": self._client.project, "region": region}
        try:
            with translated(region):
                found = self._client.region_descriptions().get(request=request, **self._client.reading)
        except BackendError as refused:
            if refused.cloud_code not in NOT_FOUND:
                raise
            raise InvalidConfiguration(
                f"there is no region {region}", LIST_REGIONS, scope="region", **refused.said
            ) from refused
        return tuple(sorted(str(link).rpartition("/")[2] for link in found.zones))

    def _ensure(self, name: str, state: tuple[str, ...], rule: Mapping[str, Any]) -> None:
        """`state` is what of the rule may change."""
        with self._lock:
            if self._rules.get(name) != state:
                self._put(name, rule)
                self._rules[name] = state

    def _put(self, name: str, rule: Mapping[str, Any]) -> None:
        project, firewalls = self._client.project, self._client.firewalls()
        network = f"projects/{project}/global/networks/{self._client.config.network}"
        whole = {"name": name, "network": network, "direction": "INGRESS", "target_tags": [name], **rule}
        there = self._sources(name)
        if there == _sources(rule):
            return
        how = self._client.changing
        try:
            with translated(f"firewall rule {name}"):
                if there is None:
                    operation = firewalls.insert_unary(request={"project": project, "firewall_resource": whole}, **how)
                else:
                    asked = {"project": project, "firewall": name, "firewall_resource": whole}
                    operation = firewalls.patch_unary(request=asked, **how)
            self._operations.wait(operation, f"firewall rule {name}", RULE_SECONDS)
        except BackendError as refused:
            if refused.cloud_code not in TAKEN or self._sources(name) != _sources(rule):
                raise _explained(refused, self._client.config.network) from refused

    def _sources(self, name: str) -> set[str] | None:
        """Who is let in by the rule now; None where there is none."""
        request = {"project": self._client.project, "firewall": name}
        try:
            with translated(f"firewall rule {name}"):
                found = self._client.firewalls().get(request=request, **self._client.reading)
        except BackendError as refused:
            if refused.cloud_code not in NOT_FOUND:
                raise
            return None
        return {*map(str, found.source_ranges), *map(str, found.source_tags)}


def _sources(rule: Mapping[str, Any]) -> set[str]:
    return {*rule.get("source_ranges", ()), *rule.get("source_tags", ())}


def _tcp(port: str) -> Mapping[str, object]:
    return {"I_p_protocol": "tcp", "ports": [port]}


def _explained(refused: BackendError, network: str) -> BackendError:
    if refused.cloud_code in NOT_FOUND:
        return InvalidConfiguration(f"the project has no network {network}", _make_network(network), **refused.said)
    if refused.cloud_code in TAKEN:
        return Unavailable(refused.summary, **refused.said)
    return refused


def _nowhere(region: str, network: str, subnet: str) -> Sequence[str]:
    if subnet:
        return (
            f"{region} has no subnet {subnet} of the network {network}",
            "name a `subnet` that is in every region, or none",
        )
    return f"{region} has no subnet of the network {network}", _make_network(network)


def _make_network(network: str) -> str:
    return f"make one (`gcloud compute networks create {network} --subnet-mode=auto`), or name your own `network` and `subnet`"

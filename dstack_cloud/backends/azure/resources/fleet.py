"""The machines that are there: looked at, listed and ended, many at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import is_missing, translated
from dstack_cloud.backends.azure.resources.driver import Drivers
from dstack_cloud.backends.azure.resources.groups import Groups
from dstack_cloud.backends.azure.resources.machine import (
    DELETING,
    SUCCEEDED,
    Addresses,
    key_of,
    observe,
    power_of,
    state_of,
)
from dstack_cloud.backends.azure.resources.policy import OWNER_TAG
from dstack_cloud.backends.base import Health, Observed, Owned
from dstack_cloud.backends.base.batches import Batches
from dstack_cloud.errors import BackendError, Unavailable

log = logging.getLogger(__name__)

Json = dict[str, Any]

# a machine's ref is "place/name", that of what one left behind "place/disk:name"; for places see `groups`
REF = re.compile(r"([\w.()-]+)/(?:(nic|disk|ip):)?([\w.-]+)")
GONE = "it isn't there any more: it was deleted, or Azure took it back"
SIDE_BY_SIDE = 16


class Fleet:
    """`installation` owns what is listed. Threads share it, and their questions are asked together."""

    def __init__(self, client: AzureClient, groups: Groups, installation: str) -> None:
        self._client, self._groups, self._installation = client, groups, installation
        self._drivers = Drivers(client, groups)
        self._looks: Batches[Observed] = Batches(self._look)
        self._addresses: dict[str, Addresses] = {}

    def inspect(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = {ref: Observed(ref, Health.GONE, detail="it isn't a machine on Azure") for ref in refs}
        machines = [ref for ref in refs if (match := REF.fullmatch(ref)) and not match[2]]
        if machines:
            answers = self._looks.ask(machines)
            seen.update({ref: answers[ref] for ref in machines})
        return seen

    def terminate(self, refs: Sequence[str]) -> None:
        found = [(ref, match) for ref in refs if (match := REF.fullmatch(ref))]
        if not found:
            return
        with ThreadPoolExecutor(min(len(found), SIDE_BY_SIDE)) as pool:
            for _ in pool.map(lambda each: self._end(*each[1].groups()), found):
                pass
        for ref, _ in found:
            self._addresses.pop(ref, None)

    def listed(self, regions: Sequence[str]) -> list[Owned]:
        """Machines first, then interfaces, disks and addresses that were left behind. Groups side by side, also those of regions
        that the settings name no more, and of other projects, which may be no more."""
        places = sorted({*regions, *self._groups.places()})
        with ThreadPoolExecutor(min(len(places), SIDE_BY_SIDE)) as pool:
            return [owned for found in pool.map(self._listed, places) for owned in found]

    def _listed(self, place: str) -> list[Owned]:
        compute, network = self._client.compute(), self._client.network()
        machines = self._all(place, compute.virtual_machines.list)
        nics = self._all(place, network.network_interfaces.list) if machines is not None else None
        if machines is None or nics is None:
            return []  # nothing was ever made there
        disks = self._all(place, compute.disks.list_by_resource_group) or []
        addresses = self._all(place, network.public_ip_addresses.list) or []
        left = [
            *(("nic", each) for each in nics if not _property(each, "virtualMachine")),
            *(("disk", each) for each in disks if not each.get("managedBy")),
            *(("ip", each) for each in addresses if not _property(each, "ipConfiguration")),
        ]
        return [
            *(
                Owned(f"{place}/{each['name']}", key_of(each))
                for each in machines
                if self._is_ours(each) and state_of(each) != DELETING
            ),
            *(
                Owned(f"{place}/{kind}:{each['name']}", key_of(each), left=True)
                for kind, each in left
                if self._is_ours(each)
            ),
        ]

    def _is_ours(self, thing: Json) -> bool:
        return (thing.get("tags") or {}).get(OWNER_TAG) == self._installation

    def _all(self, place: str, call: Callable[[str], Iterable[Any]]) -> list[Json] | None:
        """All of one kind in the group there; None where there is none."""
        try:
            with translated(place):
                return [each.as_dict() for each in call(self._groups.name(place))]
        except BackendError as refused:
            if is_missing(refused):
                return None
            raise

    def _look(self, refs: Collection[str]) -> Mapping[str, Observed]:
        """Two lists for all machines; two more a place where a machine's address isn't known yet."""
        by_place: dict[str, set[str]] = {}
        for ref in refs:
            place, _, name = ref.partition("/")
            by_place.setdefault(place, set()).add(name)
        power = self._power()
        return {ref: seen for place, names in by_place.items() for ref, seen in self._seen(place, names, power)}

    def _power(self) -> Mapping[str, str]:
        """{a machine's id in lower case: its state of power}: Azure tells it in one list for the whole subscription.
        https://learn.microsoft.com/rest/api/compute/virtual-machines/list-all"""
        with translated("machines' states"):
            found = [each.as_dict() for each in self._client.compute().virtual_machines.list_all(status_only="true")]
        return {str(each.get("id", "")).lower(): power_of(each) for each in found}

    def _seen(self, place: str, names: set[str], power: Mapping[str, str]) -> Iterator[tuple[str, Observed]]:
        listed = self._all(place, self._client.compute().virtual_machines.list) or []
        found = {each["name"]: each for each in listed if each["name"] in names}
        # lists lag behind: what isn't there is asked after by its name
        found |= {name: each for name in names - found.keys() if (each := self._one(place, name))}
        addresses = self._addresses_of(place, found)
        for name in names:
            ref = f"{place}/{name}"
            if name not in found:
                yield ref, Observed(ref, Health.GONE, detail=GONE)
                continue
            machine = found[name]
            state = power_of(machine) or power.get(str(machine["id"]).lower(), "")
            seen = observe(self._client.config, ref, machine, state, addresses.get(ref))
            yield ref, self._drivers.see_to(machine, seen)

    def _addresses_of(self, place: str, found: Mapping[str, Json]) -> Mapping[str, Addresses]:
        """By ref. Once a machine is made, they stay what they are, and are asked for no more."""
        refs = {f"{place}/{name}": machine for name, machine in found.items()}
        if refs.keys() <= self._addresses.keys():
            return self._addresses
        read = self._read_addresses(place)
        made = {ref for ref, machine in refs.items() if state_of(machine) == SUCCEEDED}
        self._addresses.update({ref: each for ref, each in read.items() if ref in made})
        return {**read, **self._addresses}

    def _one(self, place: str, name: str) -> Json | None:
        try:
            with translated(f"{place} {name}"):
                machines = self._client.compute().virtual_machines
                return machines.get(self._groups.name(place), name, expand="instanceView").as_dict()
        except BackendError as refused:
            if is_missing(refused):
                return None
            raise

    def _read_addresses(self, place: str) -> dict[str, Addresses]:
        network = self._client.network()
        public = {
            str(_property(each, "ipConfiguration").get("id", "")).lower(): str(_property(each, "ipAddress") or "")
            for each in self._all(place, network.public_ip_addresses.list) or []
            if _property(each, "ipConfiguration")
        }
        read: dict[str, Addresses] = {}
        for nic in self._all(place, network.network_interfaces.list) or []:
            machine = str((_property(nic, "virtualMachine") or {}).get("id", ""))
            for inner in (_property(nic, "ipConfigurations") or [])[:1]:
                private = str(_property(inner, "privateIPAddress") or "")
                known = Addresses(private, public.get(str(inner.get("id", "")).lower(), ""))
                if machine and private and (known.public or not self._client.config.public_ip):
                    # ids that refer to another thing come in upper case at times
                    read[f"{place}/{machine.rpartition('/')[2].lower()}"] = known
        return read

    def _end(self, place: str, kind: str | None, name: str) -> None:
        """The machine takes its disk, its interface and its address with it."""
        compute, network, group = self._client.compute(), self._client.network(), self._groups.name(place)
        deletions: dict[str, Callable[..., object]] = {
            "": compute.virtual_machines.begin_delete,
            "nic": network.network_interfaces.begin_delete,
            "disk": compute.disks.begin_delete,
            "ip": network.public_ip_addresses.begin_delete,
        }
        try:
            with translated(f"{place} {name}"):
                deletions[kind or ""](group, name, polling=False)
        except BackendError as refused:
            if is_missing(refused):
                return
            if kind and isinstance(refused, Unavailable):
                # an interface is kept for its machine for three minutes: it is listed again, and asked again
                log.info("%s stays for now: %s", name, refused.summary)
                return
            raise


def _property(thing: Json, name: str) -> Any:  # noqa: ANN401 - JSON of whatever shape
    return (thing.get("properties") or {}).get(name)

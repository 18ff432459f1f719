"""What befalls virtual machines without a request: bodies that come up, stop and die, evictions, hardware that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

from tests.fakes.azure import identities, machines
from tests.fakes.azure.calls import Json
from tests.fakes.azure.world import SUBSCRIPTION, Life, Resource, World
from tests.fakes.bodies import Birth

EVICTED = "evicted"
POWERED_OFF, DIED = "powered itself off", "its hardware failed"
# https://learn.microsoft.com/en-us/troubleshoot/azure/virtual-machines/linux/os-provisioning-timed-out
BROKEN = ("OSProvisioningTimedOut", "OS Provisioning for VM did not finish in the allotted time.")


class Fleet:
    """Satisfies `bodies.Cloud`. Methods that take an id raise LookupError for a machine that never was."""

    def __init__(self, world: World) -> None:
        self._world = world

    def documents(self, birth: Birth, address: str) -> Mapping[str, str]:
        with self._world.lock:
            life = self._world.lives.get(birth.id)
            vm = self._world.find(life.resource) if life else None
            if life is None or vm is None:
                return {}
            return {**_instance(vm, life, address), **identities.documents(self._world, birth.identity)}

    def running(self, id: str, address: str) -> None:
        with self._world.lock:
            life = self._world.lives[id]
            life.address = address
            for nic in machines.interfaces(self._world, life.resource):
                _set_address(self._world, nic, address)
            if life.creation:
                life.creation.end()

    def stopped_itself(self, id: str) -> None:
        """A poweroff from inside only stops it: it is still allocated, and billed.

        https://learn.microsoft.com/en-us/azure/virtual-machines/states-billing
        """
        with self._world.lock:
            life = self._world.lives[id]
            if life.state in ("creating", "running"):
                life.state, life.reason = "stopped", POWERED_OFF

    def died(self, id: str) -> None:
        with self._world.lock:
            life = self._world.lives[id]
            if life.state in ("creating", "running"):
                life.state, life.reason = "stopped", DIED

    def broken(self, id: str) -> None:
        with self._world.lock:
            life = self._world.lives[id]
            if life.creation:
                life.creation.failure = BROKEN
                life.creation.end()

    def gone(self, id: str) -> None:
        with self._world.lock:
            life = self._world.lives[id]
            if life.deletion:
                life.deletion.end()

    def find(self, id: str) -> Life:
        """By its id, its name or its resource's id; of several of a name, the last. Raises LookupError."""
        for life in reversed(list(self._world.lives.values())):
            if id.lower() in (life.id, life.resource.lower(), life.resource.rpartition("/")[2].lower()):
                return life
        raise LookupError(id)

    def interrupt(self, id: str, seconds: float) -> None:
        """An eviction: the notice now, the end in so many seconds."""
        life = self.find(id)
        if self._world.machines is not None and seconds:
            self._world.machines.announce(life.id, seconds)
        timer = threading.Timer(seconds, self._evict, (life,))
        timer.daemon = True
        timer.start()

    def _evict(self, life: Life) -> None:
        """https://learn.microsoft.com/en-us/azure/virtual-machines/spot-vms#eviction-policy"""
        with self._world.lock:
            if life.ended or life.id not in self._world.lives:
                return
            policy = life.asked["properties"].get("evictionPolicy", "Deallocate")
            if str(policy).lower() == "delete":
                machines.remove(self._world, life, EVICTED, keep=self._world.settings.leave_behind)
            else:
                life.state, life.reason = "deallocated", EVICTED
            if self._world.machines is not None:
                self._world.machines.end(life.id)

    def kill(self, id: str) -> None:
        """Its hardware fails: nobody is told before, and the machine is there, stopped."""
        with self._world.lock:
            life = self.find(id)
            if self._world.machines is not None:
                self._world.machines.end(life.id, abruptly=True)
            self.died(life.id)


def _set_address(world: World, nic: Resource, address: str) -> None:
    for configuration in nic.properties["ipConfigurations"]:
        properties = configuration["properties"]
        properties["privateIPAddress"] = address
        if public := world.find((properties.get("publicIPAddress") or {}).get("id", "/")):
            public.properties["ipAddress"] = address


def _instance(vm: Resource, life: Life, address: str) -> dict[str, str]:
    """Of the metadata service. https://learn.microsoft.com/en-us/azure/virtual-machines/instance-metadata-service"""
    tags = vm.body.get("tags") or {}
    compute: Json = {
        **{"name": vm.name, "resourceId": vm.id, "vmId": life.id, "location": life.region, "zone": life.zone},
        **{"resourceGroupName": vm.id.split("/")[4], "subscriptionId": SUBSCRIPTION, "provider": "Microsoft.Compute"},
        **{"vmSize": life.type, "priority": "Spot" if life.spot else "Regular", "osType": "Linux"},
        **{"evictionPolicy": vm.properties.get("evictionPolicy", ""), "azEnvironment": "AzurePublicCloud"},
        "tagsList": [{"name": name, "value": value} for name, value in tags.items()],
        "tags": ";".join(f"{name}:{value}" for name, value in tags.items()),
    }
    here = {"privateIpAddress": address, "publicIpAddress": address}
    network = {"interface": [{"ipv4": {"ipAddress": [here], "subnet": []}, "macAddress": "000D3A000000"}]}
    leaves = {f"/metadata/instance/compute/{name}": value for name, value in compute.items() if isinstance(value, str)}
    whole = json.dumps({"compute": compute, "network": network})
    return {**leaves, "/metadata/instance/compute": json.dumps(compute), "/metadata/instance": whole}

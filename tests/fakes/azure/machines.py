"""Virtual machines as things: made with disk, interface and address by one request, and taken down with what shall go with them.

https://learn.microsoft.com/en-us/azure/virtual-machines/delete
"""

from __future__ import annotations

import copy
import time
import uuid

from tests.fakes.azure import network, operations
from tests.fakes.azure.calls import Json, Refusal
from tests.fakes.azure.kinds import Kind, missing_reference
from tests.fakes.azure.launches import MACHINES, Order, invalid
from tests.fakes.azure.world import DELETED, Life, Resource, World

DISKS = "Microsoft.Compute/disks"
SECRETS = ("customData", "adminPassword")


def _prepare_disk(world: World, disk: Resource) -> None:
    properties = disk.properties
    disk.body.setdefault("sku", {"name": "Standard_LRS"})
    disk.body["sku"]["tier"] = disk.body["sku"]["name"].partition("_")[0]
    if properties["creationData"]["createOption"].lower() == "empty" and not properties.get("diskSizeGB"):
        raise invalid("Required parameter 'disk.diskSizeGB' is missing (null).", "disk.diskSizeGB")
    properties.setdefault("diskSizeGB", 30)
    properties |= {"diskState": "Unattached", "timeCreated": operations.iso(time.time()), "uniqueId": str(uuid.uuid4())}


def _keep_disk(world: World, disk: Resource) -> None:
    if user := disk.body.get("managedBy"):
        why = f"Disk {disk.name} is attached to VM {user}."
        raise Refusal("OperationNotAllowed", why)


DISK = Kind(
    DISKS,
    "disks",
    "compute.Disk",
    _prepare_disk,
    _keep_disk,
    listing=("list_by_resource_group", "list"),
    tagging=("update", "compute.DiskUpdate"),
    created=202,
)


def make(world: World, id: str, body: Json, order: Order) -> Life:
    """The machine, being created, and everything that comes with it. Raises Refusal, and then nothing was made."""
    asked, kept = copy.deepcopy(body), copy.deepcopy(body)
    before = dict(world.resources)
    try:
        kept["properties"]["networkProfile"] = {"networkInterfaces": _interfaces(world, id, body, order.location)}
        _make_disk(world, id, kept)
    except Refusal:
        world.resources = before
        raise
    life = Life(str(uuid.uuid4()), id, order.location, order.zone, order.size.name, order.spot, asked)
    for name in SECRETS:
        kept["properties"]["osProfile"].pop(name, None)
    kept["properties"] |= {
        **{"vmId": life.id, "provisioningState": "Creating", "timeCreated": operations.iso(time.time())},
        "hardwareProfile": {**kept["properties"]["hardwareProfile"], "vmSize": order.size.name},
    }
    kept |= {"location": order.location, "etag": f'"{uuid.uuid4().hex[:8]}"'}
    world.put(Resource(id, MACHINES, kept, listed_from=time.monotonic() + world.settings.invisible_for))
    for nic in interfaces(world, id):
        nic.properties["virtualMachine"] = {"id": id}
    world.lives[life.id] = life
    return life


def _make_disk(world: World, id: str, body: Json) -> None:
    """With the machine's tags."""
    group, name = id.partition("/providers/")[0], id.rpartition("/")[2]
    disk = body["properties"]["storageProfile"]["osDisk"]
    disk.setdefault("name", f"{name}_OsDisk_1_{uuid.uuid4().hex}")
    managed = disk.setdefault("managedDisk", {})
    kind = managed.setdefault("storageAccountType", "Standard_LRS")
    document: Json = {
        **{"location": body["location"], "tags": dict(body.get("tags") or {}), "sku": {"name": kind}},
        "properties": {"creationData": {"createOption": "FromImage"}, "diskSizeGB": disk.get("diskSizeGB", 30)},
    }
    if body.get("zones"):
        document["zones"] = list(body["zones"])
    where = f"{group}/providers/{DISKS}/{disk['name']}"
    if world.find(where) is not None:
        why = f"Disk {disk['name']} already exists in resource group {group.rpartition('/')[2].upper()}. Only CreateOption.Attach is supported."
        raise Refusal("ConflictingUserInput", why, status=409, target=where)
    made = DISK.make(world, where, document)
    made.properties.update({"diskState": "Attached", "osType": "Linux"})
    made.body["managedBy"] = id
    managed["id"] = made.id
    disk |= {
        "diskSizeGB": made.properties["diskSizeGB"],
        "osType": "Linux",
        "deleteOption": disk.get("deleteOption", "Detach"),
    }


def _interfaces(world: World, id: str, body: Json, location: str) -> list[Json]:
    """Those that it names, and those that are made with it. Raises Refusal."""
    profile = body["properties"].get("networkProfile") or {}
    named, configured = profile.get("networkInterfaces") or [], profile.get("networkInterfaceConfigurations") or []
    if not named and not configured:
        raise Refusal(
            "InvalidParameter", "Required parameter 'networkProfile' is missing (null).", target="networkProfile"
        )
    if configured and not profile.get("networkApiVersion"):
        why = "Required parameter 'networkProfile.networkApiVersion' is missing (null)."
        raise Refusal("InvalidParameter", why, target="networkProfile.networkApiVersion")
    return [_attached(world, id, each) for each in named] + [_made(world, id, each, location) for each in configured]


def _attached(world: World, id: str, asked: Json) -> Json:
    nic = world.find(str(asked.get("id", "/")))
    if nic is None:
        raise missing_reference(str(asked.get("id")), id)
    if (user := (nic.properties.get("virtualMachine") or {}).get("id", id)).lower() != id.lower():
        why = f"Network interface {nic.id} is already attached to another virtual machine {user}."
        raise Refusal("NetworkInterfaceAlreadyInUse", why)
    network.check_reserved(world, nic.id, id)
    return _mention(nic, asked.get("properties") or {})


def _made(world: World, id: str, asked: Json, location: str) -> Json:
    group, properties = id.partition("/providers/")[0], copy.deepcopy(asked["properties"])
    option = properties.pop("deleteOption", "Detach")
    primary = properties.pop("primary", True)
    for configuration in properties["ipConfigurations"]:
        below = configuration.get("properties") or {}
        if address := below.pop("publicIPAddressConfiguration", None):
            below["publicIPAddress"] = _address(world, group, address, location)
    body = {"location": location, "tags": dict(asked.get("tags") or {}), "properties": properties}
    name = f"{asked['name']}-{uuid.uuid4().hex[:8]}"
    nic = network.INTERFACE.make(world, f"{group}/providers/{network.NICS}/{name}", body)
    return _mention(nic, {"deleteOption": option, "primary": primary})


def _address(world: World, group: str, asked: Json, location: str) -> Json:
    properties = copy.deepcopy(asked.get("properties") or {})
    option = properties.pop("deleteOption", "Detach")
    body = {"location": location, "tags": dict(asked.get("tags") or {}), "properties": properties}
    # without a word about it, the old network API makes a Basic one, which there isn't any more
    body["sku"] = asked.get("sku") or {"name": "Basic"}
    name = f"{asked['name']}-{uuid.uuid4().hex[:8]}"
    made = network.ADDRESS.make(world, f"{group}/providers/{network.ADDRESSES}/{name}", body)
    return {"id": made.id, "properties": {"deleteOption": option}}


def _mention(nic: Resource, asked: Json) -> Json:
    return {
        "id": nic.id,
        "properties": {"deleteOption": asked.get("deleteOption", "Detach"), "primary": asked.get("primary", True)},
    }


def interfaces(world: World, id: str) -> list[Resource]:
    """Those of the machine that are there."""
    vm = world.find(id)
    named = vm.properties["networkProfile"]["networkInterfaces"] if vm else []
    return [nic for each in named if (nic := world.find(each["id"])) is not None]


def remove(world: World, life: Life, reason: str = "", *, keep: bool = False) -> None:
    """The machine, and what shall go with it. `keep`: interfaces and addresses stay, whatever was asked for."""
    life.state, life.reason = DELETED, reason or life.reason
    vm = world.find(life.resource)
    if vm is None:
        return
    disk = vm.properties["storageProfile"]["osDisk"]
    if found := world.find(disk["managedDisk"].get("id", "/")):
        found.body.pop("managedBy", None)
        found.properties["diskState"] = "Unattached"
        if disk["deleteOption"].lower() == "delete":
            world.drop(found.id)
    for each in vm.properties["networkProfile"]["networkInterfaces"]:
        nic = world.find(each["id"])
        if nic is None:
            continue
        nic.properties.pop("virtualMachine", None)
        if each["properties"]["deleteOption"].lower() == "delete" and not keep:
            network.remove_interface(world, nic)
        else:
            world.reserved[nic.id.lower()] = time.monotonic() + world.settings.reserve_seconds, vm.id
    for id in [id for id in world.resources if id.startswith(f"{vm.id.lower()}/")]:
        world.drop(id)
    world.drop(vm.id)


def fail(world: World, life: Life) -> None:
    """Its creation failed: an object of it stays, with interface and address, and without a disk."""
    life.state, vm = "failed", world.find(life.resource)
    if vm is None:
        return
    vm.properties["provisioningState"] = "Failed"
    disk = vm.properties["storageProfile"]["osDisk"]["managedDisk"].pop("id", "")
    if disk:
        world.drop(disk)
    for nic in interfaces(world, vm.id):
        world.reserved[nic.id.lower()] = time.monotonic() + world.settings.reserve_seconds, vm.id


def settled(world: World, life: Life) -> None:
    """It was created, and runs."""
    vm = world.find(life.resource)
    if vm is not None and life.state == "creating":
        life.state = "running"
        vm.properties["provisioningState"] = "Succeeded"


def power(life: Life) -> str:
    """As an instance view says it; "" for a machine that has none."""
    known = {"creating": "starting", "failed": "", "deleting": "running", DELETED: ""}
    return known.get(life.state, life.state)


def allocated(life: Life) -> bool:
    """Whether it holds cores of a quota, and costs money."""
    return life.state not in (DELETED, "failed", "deallocated")

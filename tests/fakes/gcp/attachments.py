"""What is attached to a new instance: its disks and its network interfaces.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert, `disks` and `networkInterfaces`
"""

from __future__ import annotations

import random

from tests.fakes.gcp import images
from tests.fakes.gcp.catalogue import MachineType
from tests.fakes.gcp.places import LINK, path_of, region_of
from tests.fakes.gcp.resources import Resources
from tests.fakes.gcp.wire import Json, Refusal

MISSING = "The referenced resource does not exist."
# by family: https://cloud.google.com/compute/docs/disks#disk-types
NO_STANDARD_DISKS = ("g2", "a3")
DISK_TYPES = ("pd-standard", "pd-balanced", "pd-ssd", "hyperdisk-balanced")


def invalid(field: str, value: object, why: str) -> Refusal:
    return Refusal(400, f"Invalid value for field 'resource.{field}': '{value}'. {why}")


def disks(asked: Json, machine: MachineType) -> range:
    disks = asked.get("disks", [])
    if not disks:
        raise invalid("disks", "", "No disks are specified.")
    if [bool(each.get("boot")) for each in disks].index(True) if any(each.get("boot") for each in disks) else 1:
        raise invalid("disks[0].boot", "false", "Boot disk must be the first disk attached to the instance.")
    for each in disks:
        kind = each.get("initializeParams", {}).get("diskType", "pd-standard").rpartition("/")[2]
        if "initializeParams" in each and kind == "pd-standard" and machine.family in NO_STANDARD_DISKS:
            message = f"[{kind}, {machine.name}] features are not compatible for creating instance."
            raise Refusal(400, message, "badRequest")
    return range(len(disks))


def disk(asked: Json, index: int, scope: str, resources: Resources) -> Json:
    """As it is attached; `initializeParams` stay for whoever makes it."""
    wanted, field = asked["disks"][index], f"disks[{index}]"
    fresh = wanted.get("initializeParams")
    if (fresh is None) == ("source" not in wanted):
        raise invalid(field, "", "Exactly one of source and initializeParams must be specified.")
    name = (fresh or {}).get("diskName") or (asked["name"] if index == 0 else f"{asked['name']}-{index}")
    path = f"{scope}/disks/{name}" if fresh is not None else path_of(wanted["source"], scope)
    if fresh is None and path not in resources:
        raise invalid(f"{field}.source", wanted["source"], MISSING)
    if fresh is not None:
        _check_new_disk(fresh, field, scope)
        if path in resources:
            raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
    common = {"kind": "compute#attachedDisk", "type": "PERSISTENT", "mode": "READ_WRITE", "interface": "SCSI"}
    place = {"source": LINK + path, "deviceName": wanted.get("deviceName", f"persistent-disk-{index}"), "index": index}
    switches = {"boot": wanted.get("boot", False), "autoDelete": wanted.get("autoDelete", False)}
    return {**common, **wanted, **place, **switches}


def _check_new_disk(fresh: Json, field: str, scope: str) -> None:
    image, kind = fresh.get("sourceImage", ""), fresh.get("diskType", "pd-standard")
    found = images.find(image, scope) if image else None
    if image and found is None:
        why = "The referenced image resource cannot be found."
        raise invalid(f"{field}.initializeParams.sourceImage", image, why)
    if kind.rpartition("/")[2] not in DISK_TYPES or (
        "/" in kind and path_of(kind, scope).rpartition("/")[0] != f"{scope}/diskTypes"
    ):
        raise invalid(f"{field}.initializeParams.diskType", kind, MISSING)
    size, least = int(fresh.get("diskSizeGb", 10)), found.size_gb if found else 1
    if "diskSizeGb" in fresh and size < least:
        name = f"projects/{found.project}/global/images/{found.name}" if found else ""
        why = f"Requested disk size cannot be smaller than the image size ({least} GB)"
        raise invalid(f"{field}.initializeParams.diskSizeGb", size, f"{why} of '{name}'.")


def interfaces(asked: Json, scope: str, resources: Resources) -> list[Json]:
    wanted = asked.get("networkInterfaces", [])
    if not wanted:
        raise invalid("networkInterfaces", "", "At least one network interface is required.")
    return [_interface(each, index, scope, resources) for index, each in enumerate(wanted)]


def _interface(wanted: Json, index: int, scope: str, resources: Resources) -> Json:
    """https://cloud.google.com/vpc/docs/create-use-multiple-interfaces: one of network and subnetwork says the other."""
    field = f"networkInterfaces[{index}]"
    project, region = scope.split("/")[1], region_of(scope.rpartition("/")[2])
    network = path_of(wanted.get("network", ""), scope)
    subnet = path_of(wanted.get("subnetwork", ""), scope)
    if not (network or subnet):
        network = f"projects/{project}/global/networks/default"
    if network and network not in resources:
        raise invalid(f"{field}.network", wanted.get("network", network), MISSING)
    if not subnet:
        subnet = _subnet_of(network, f"projects/{project}/regions/{region}/subnetworks", resources, field)
    if subnet not in resources:
        raise invalid(f"{field}.subnetwork", wanted.get("subnetwork"), MISSING)
    if subnet.split("/")[3] != region:
        raise invalid(f"{field}.subnetwork", wanted["subnetwork"], f"It is not in the instance's region, '{region}'.")
    for number, config in enumerate(wanted.get("accessConfigs", [])):
        if "natIP" in config:
            raise invalid(
                f"{field}.accessConfigs[{number}].natIP",
                config["natIP"],
                "The specified external IP address was not found.",
            )
    configs = [
        {
            "kind": "compute#accessConfig",
            "networkTier": "PREMIUM",
            "name": "External NAT",
            "type": "ONE_TO_ONE_NAT",
            **each,
        }
        for each in wanted.get("accessConfigs", [])
    ]
    place = {"network": resources.get(subnet)["network"], "subnetwork": LINK + subnet, "name": f"nic{index}"}
    address = f"10.128.{random.randint(0, 15)}.{random.randint(2, 253)}"
    common = {"kind": "compute#networkInterface", "stackType": "IPV4_ONLY", "fingerprint": "8bWmSpB8rSM="}
    return {**common, "networkIP": address, **wanted, **place, **({"accessConfigs": configs} if configs else {})}


def _subnet_of(network: str, collection: str, resources: Resources, field: str) -> str:
    for each in resources.below(collection):
        if each["network"] == LINK + network:
            return path_of(each["selfLink"], "")
    if resources.get(network).get("autoCreateSubnetworks"):
        raise invalid(f"{field}.network", network, "No default subnetwork was found in the region of the instance.")
    why = "Subnetwork should be specified for custom subnetmode network"
    raise invalid(f"{field}.network", network, why)

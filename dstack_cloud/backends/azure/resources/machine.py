"""One machine as Azure describes it: the request that makes it, and what is seen of it. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.images import Image
from dstack_cloud.backends.azure.resources.policy import OWNER_TAG, PREFIX
from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

Json = dict[str, Any]

KEY_TAG = "dstack-key"
LIFETIME_TAG = "dstack-lifetime"
# on a machine that gets NVIDIA's driver once it is up
DRIVER_TAG = "dstack-driver"
# https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
TAG_VALUE_LENGTH = 256
NOT_IN_A_NAME = re.compile(r"[<>%&\\?/]")
# a machine's name, and what is made with it: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
PLAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
NAME = re.compile(rf"{PREFIX}[\w-]+")
# since when a machine's request may describe its network interfaces
NETWORK_VERSION = "2022-11-01"
DISK_KIND = "StandardSSD_LRS"
POWER, RUNNING = "PowerState/", "running"
# https://learn.microsoft.com/azure/virtual-machines/states-billing
ENDED = {"stopped": "it powered itself off", "deallocated": "it was deallocated"}
# its runner may be saving what its job made: ended now, that would be lost
UP = (RUNNING, "stopping", "deallocating")
DELETING, SUCCEEDED, FAILED = "deleting", "succeeded", ("failed", "canceled")
PROVISIONING_FAILED = "ProvisioningState/failed"


@dataclass(frozen=True)
class Place:
    """Where and what a machine is made of. `subnet` and `identity` are resource ids, "" for no identity."""

    image: Image
    subnet: str
    identity: str


@dataclass(frozen=True)
class Addresses:
    """`public` is "" where it has none."""

    private: str
    public: str = ""


def name_for(key: str) -> str:
    """Always the same for a launch: who asks again asks for the same machine."""
    plain = key if PLAIN.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{PREFIX}{plain}"


def tags(values: Mapping[str, str]) -> dict[str, str]:
    return {NOT_IN_A_NAME.sub("_", key): value[:TAG_VALUE_LENGTH] for key, value in sorted(values.items())}


def request(config: AzureConfig, installation: str, launch: Launch, place: Place) -> Json:
    """The machine and all that goes with it: https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update"""
    lifetime = {LIFETIME_TAG: f"{launch.lifetime:.0f}"}
    marks = tags({**launch.tags, OWNER_TAG: installation, KEY_TAG: launch.key, **lifetime})
    name = name_for(launch.key)
    properties: Json = {
        "hardwareProfile": {"vmSize": launch.offer.instance_type},
        "storageProfile": {"imageReference": dict(place.image.reference), "osDisk": _disk(config, launch, place.image)},
        "osProfile": _system(launch, name),
        "networkProfile": {
            "networkApiVersion": NETWORK_VERSION,
            "networkInterfaceConfigurations": [_interface(config, launch, place, marks)],
        },
    }
    if launch.offer.spot:
        # -1: the price may go up to that on demand
        properties |= {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
    driver = {DRIVER_TAG: "nvidia"} if launch.offer.machine.gpus and place.image.lacks_driver else {}
    made: Json = {"location": launch.offer.region, "tags": {**marks, **driver}, "properties": properties}
    if launch.offer.zone:
        made["zones"] = [launch.offer.zone]
    if place.identity:
        made["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {place.identity: {}}}
    if place.image.plan:
        made["plan"] = dict(place.image.plan)
    return made


def _disk(config: AzureConfig, launch: Launch, image: Image) -> Json:
    """What the job asks for comes on top of what the image fills; where it doesn't say, as much again as the image."""
    size = max(config.disk, image.size + (launch.disk or image.size))
    return {
        "name": f"{name_for(launch.key)}-os",
        "createOption": "FromImage",
        "caching": "ReadWrite",
        "diskSizeGB": -(-size // GIB),
        "managedDisk": {"storageAccountType": DISK_KIND},
        "deleteOption": "Delete",
    }


def _system(launch: Launch, name: str) -> Json:
    keys = [{"path": f"/home/{LOGIN_USER}/.ssh/authorized_keys", "keyData": nobodys_key(launch.key)}]
    system: Json = {
        "computerName": name[:63].rstrip("-"),
        "adminUsername": LOGIN_USER,
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
    }
    if launch.user_data:
        system["customData"] = base64.b64encode(launch.user_data.encode()).decode()
    return system


def nobodys_key(key: str) -> str:
    """Azure wants a public key for the machine's first user. The one that counts comes with the user data; of this one nobody
    has the private half."""
    kind, point = b"ssh-ed25519", hashlib.sha256(key.encode()).digest()
    packed = b"".join(struct.pack(">I", len(part)) + part for part in (kind, point))
    return f"{kind.decode()} {base64.b64encode(packed).decode()}"


def _interface(config: AzureConfig, launch: Launch, place: Place, marks: Mapping[str, str]) -> Json:
    address: Json = {"subnet": {"id": place.subnet}, "primary": True}
    if config.public_ip:
        address["publicIPAddressConfiguration"] = {
            "name": f"{name_for(launch.key)}-ip",
            "sku": {"name": "Standard", "tier": "Regional"},
            "tags": dict(marks),
            "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
        }
    return {
        "name": f"{name_for(launch.key)}-nic",
        "tags": dict(marks),
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "ipConfigurations": [{"name": "main", "properties": address}],
        },
    }


def observe(config: AzureConfig, ref: str, found: Json, power: str, addresses: Addresses | None) -> Observed:
    """`found` is the machine, `power` its state of power ("running"; "" where Azure doesn't say)."""
    state = state_of(found)
    if state == DELETING:
        return Observed(ref, Health.GONE, detail="it is being deleted")
    # what runs may be at work: it was a later change that failed, such as an extension that a policy adds
    if state in FAILED and power not in UP:
        return Observed(ref, Health.STOPPED, detail=f"Azure couldn't make it{_reason(found)}")
    if power in ENDED:
        return Observed(ref, Health.STOPPED, detail=ENDED[power])
    address = _reached_at(config, addresses)
    if not addresses or not address or (power or state) not in (*UP, SUCCEEDED):
        return Observed(ref, Health.STARTING)
    return Observed(ref, Health.RUNNING, f"ssh:{LOGIN_USER}@{address}:22", address=addresses.private)


def _reached_at(config: AzureConfig, addresses: Addresses | None) -> str:
    if addresses is None:
        return ""
    return addresses.public if config.public_ip else addresses.private


def state_of(found: Json) -> str:
    """Of provisioning, in lower case."""
    return str((found.get("properties") or {}).get("provisioningState", "")).lower()


def power_of(found: Json) -> str:
    """Of a machine that was asked for with its state of power."""
    codes = [str(status.get("code", "")) for status in statuses(found)]
    return next((code.removeprefix(POWER).lower() for code in codes if code.startswith(POWER)), "")


def statuses(found: Json) -> list[Json]:
    return list(((found.get("properties") or {}).get("instanceView") or {}).get("statuses") or [])


def failure_of(found: Json) -> Json:
    """What a machine's state tells of why it couldn't be made: {"code", "message"}; {} where it doesn't."""
    for status in statuses(found):
        code = str(status.get("code", ""))
        if code.startswith(PROVISIONING_FAILED):
            return {"code": code.removeprefix(PROVISIONING_FAILED).strip("/"), "message": status.get("message", "")}
    return {}


def _reason(found: Json) -> str:
    told = failure_of(found)
    return f": {told['message'] or told['code']}" if told else ""


def key_of(thing: Json) -> str:
    """The launch's key of a machine, disk, interface or address; "" where it carries none."""
    return str((thing.get("tags") or {}).get(KEY_TAG, ""))

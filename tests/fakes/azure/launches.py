"""What is wrong with the order of a virtual machine that its description doesn't say; told in Azure's words.

https://learn.microsoft.com/en-us/azure/virtual-machines/error-messages and …/error-codes-spot
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from tests.fakes.azure import catalogue, prices
from tests.fakes.azure.calls import Json, Refusal
from tests.fakes.azure.catalogue import IMAGES, LOCATIONS, SIZES, VERSIONS, Size
from tests.fakes.azure.envelope import check_location, check_tags

MACHINES = "Microsoft.Compute/virtualMachines"
LONGEST_CUSTOM_DATA = 87_380
FORBIDDEN_USERS = {
    "administrator",
    "admin",
    "user",
    "user1",
    "test",
    "root",
    "guest",
    "owner",
    "sys",
    "console",
    "actuser",
}
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
# https://learn.microsoft.com/en-us/azure/virtual-machines/linux/mac-create-ssh-keys#supported-ssh-key-formats
KEYS = ("ssh-rsa ", "ssh-ed25519 ")


@dataclass(frozen=True)
class Order:
    """What a body asks for. `zone` "": wherever."""

    location: str
    size: Size
    zone: str
    spot: bool


def missing(name: str) -> Refusal:
    return Refusal("InvalidParameter", f"Required parameter '{name}' is missing (null).", target=name)


def invalid(message: str, target: str) -> Refusal:
    return Refusal("InvalidParameter", message, target=target)


def read(body: Json) -> Order:
    """Raises Refusal. That the network is there and the quota suffices is seen elsewhere."""
    location = check_location(body.get("location"), MACHINES)
    check_tags(body.get("tags"))
    properties = body.get("properties") or {}
    size = _size(properties, location)
    zone = _zone(body.get("zones") or [], location)
    _check_storage(properties.get("storageProfile"))
    _check_login(properties.get("osProfile"))
    spot = _check_market(properties, size, location)
    if (size.restricted and location in size.restricted) or (zone and zone not in catalogue.zones(size, location)):
        raise unavailable(size, location)
    return Order(location, size, zone, spot)


def unavailable(size: Size, location: str) -> Refusal:
    """https://learn.microsoft.com/en-us/azure/azure-resource-manager/troubleshooting/error-sku-not-available"""
    why = f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size.name}' is currently not available in location '{location}'. Please try another size or deploy to a different location or different zone. See https://aka.ms/azureskunotavailable for details."
    return Refusal("SkuNotAvailable", why)


def _size(properties: Json, location: str) -> Size:
    asked = (properties.get("hardwareProfile") or {}).get("vmSize")
    if not asked:
        raise missing("hardwareProfile.vmSize")
    size = SIZES.get(str(asked).lower())
    if size is None or size not in catalogue.sizes(location):
        known = ",".join(each.name for each in catalogue.sizes(location))
        raise invalid(
            f"The value {asked} provided for the VM size is not valid. The valid sizes in the current region are: {known}. Find out more on the valid VM sizes in each region at https://aka.ms/azure-regionservices.",
            "vmSize",
        )
    return size


def _zone(zones: list[str], location: str) -> str:
    if len(zones) > 1:
        raise invalid("A virtual machine can be in one availability zone.", "zones")
    if zones and not LOCATIONS[location].zones:
        why = f"The location '{location}' does not support availability zones."
        raise Refusal("LocationNotSupportAvailabilityZones", why)
    if zones and zones[0] not in LOCATIONS[location].zones:
        known = ",".join(LOCATIONS[location].zones)
        why = f"The zone(s) '{zones[0]}' for resource '{MACHINES}' is not supported. The supported zones for location '{location}' are '{known}'"
        raise Refusal("AvailabilityZoneNotSupported", why)
    return zones[0] if zones else ""


def _check_storage(storage: Json | None) -> None:
    if not storage:
        raise missing("storageProfile")
    image, disk = storage.get("imageReference"), storage.get("osDisk")
    if not disk:
        raise missing("storageProfile.osDisk")
    if str(disk["createOption"]).lower() == "fromimage" and not image:
        raise missing("imageReference")
    if image and not image.get("id"):
        names = tuple(str(image.get(name, "")).lower() for name in ("publisher", "offer", "sku"))
        version = str(image.get("version", ""))
        if names not in IMAGES or version not in ("latest", *VERSIONS):
            urn = ":".join(str(image.get(name, "")) for name in ("publisher", "offer", "sku", "version"))
            why = f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct. For more details about storage profile information, please refer to https://aka.ms/storageprofile"
            raise Refusal("PlatformImageNotFound", why, target="imageReference")
    size = disk.get("diskSizeGB")
    if size is not None and not 30 <= size <= 4095:
        why = f"The specified disk size {size} GB is smaller than the size of the corresponding disk in the VM image: 30 GB, or too large."
        raise invalid(why, "osDisk.diskSizeGB")


def _check_login(profile: Json | None) -> None:
    if not profile:
        raise missing("osProfile")
    name, user = profile.get("computerName"), profile.get("adminUsername")
    if not name:
        raise missing("osProfile.computerName")
    if not HOST.fullmatch(name) or name.isdecimal():
        why = "Linux host name cannot exceed 64 characters in length or contain the following characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?."
        raise invalid(why, "computerName")
    if not user:
        raise missing("osProfile.adminUsername")
    if user.lower() in FORBIDDEN_USERS:
        raise invalid("The Admin Username specified is not allowed.", "adminUsername")
    _check_keys(profile, user)
    data = profile.get("customData")
    if data is not None and not _is_base64(data, LONGEST_CUSTOM_DATA):
        why = f"Custom data in OSProfile must be in Base64 encoding and with a maximum length of {LONGEST_CUSTOM_DATA} characters."
        raise invalid(why, "customData")


def _check_keys(profile: Json, user: str) -> None:
    linux = profile.get("linuxConfiguration") or {}
    keys = (linux.get("ssh") or {}).get("publicKeys") or []
    if not keys and (linux.get("disablePasswordAuthentication") or not profile.get("adminPassword")):
        why = "Authentication using either SSH or by user name and password must be enabled in Linux profile."
        raise invalid(why, "linuxConfiguration")
    for key in keys:
        if key.get("path") != f"/home/{user}/.ssh/authorized_keys":
            why = f"Destination path for SSH public keys is currently limited to its default value /home/{user}/.ssh/authorized_keys due to a known issue in Linux provisioning agent."
            raise invalid(why, "linuxConfiguration.ssh.publicKeys.path")
        if not str(key.get("keyData", "")).startswith(KEYS):
            why = "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
            raise invalid(why, "linuxConfiguration.ssh.publicKeys.keyData")


def _is_base64(text: str, longest: int) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(text) <= longest


def _check_market(properties: Json, size: Size, location: str) -> bool:
    """Whether it's a spot machine."""
    spot = str(properties.get("priority", "Regular")).lower() in ("spot", "low")
    billing = properties.get("billingProfile") or {}
    if properties.get("evictionPolicy") and not spot:
        why = "Eviction policy can be set only on Azure Spot Virtual Machines."
        raise Refusal("EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines", why, target="evictionPolicy")
    price = billing.get("maxPrice")
    if price is not None and not spot:
        why = "Max price is supported only for Azure Spot Virtual Machines."
        raise Refusal("MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines", why)
    if not spot:
        return False
    if not size.spot:
        why = f"Azure Spot is not supported for the VM size {size.name} in location {location}."
        raise Refusal("AzureSpotIsNotSupportedForThisVMSize", why)
    if price is not None and price != -1 and price <= 0:
        why = "Max price should either be -1 or greater than zero."
        raise Refusal("MaxPriceValueInvalid", why, target="billingProfile.maxPrice")
    if price is not None and price != -1 and price < (cost := prices.price(size, location, spot=True)):
        why = f"Unable to perform operation '{size.name}' since the provided max price '{price} USD' is lower than the current spot price '{cost} USD' for Azure Spot VM size '{size.name}'."
        raise Refusal("SpotPriceGreaterThanProvidedMaxPrice", why)
    return True

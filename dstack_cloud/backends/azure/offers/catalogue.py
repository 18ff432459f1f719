"""What Azure has in one region: sizes of machines, and the zones that have them. All of it read; but which GPU a size has, no list
tells (see `kinds`)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import UBUNTU_HPC, is_size
from dstack_cloud.backends.azure.errors import LIST_REGIONS, translated
from dstack_cloud.backends.azure.kinds import gpu_of, wants_grid
from dstack_cloud.errors import InvalidConfiguration

GIB = 2**30
KIND = "virtualMachines"

# Sizes as JSON: {name: {"cpu", "memory" (bytes), "gpus": [[name, bytes], …], "spot", "zones": […], "family"}}
Types = dict[str, dict[str, Any]]


def types(client: AzureClient, region: str) -> Types:
    """https://learn.microsoft.com/rest/api/compute/resource-skus/list. Raises BackendError."""
    wanted = client.config.instance_types
    with translated(region):
        listed = client.compute().resource_skus.list(filter=f"location eq '{region}'")
        found = [sku.as_dict() for sku in listed]
    if not found:
        what = f"there is no region {region}, or not for this subscription"
        raise InvalidConfiguration(what, LIST_REGIONS, scope="region")
    sizes = [sku for sku in found if sku.get("resourceType") == KIND and _is_here(sku, region)]
    own_image = client.config.images.gpu != UBUNTU_HPC
    described = {str(sku["name"]): _type(sku, region, own_image) for sku in sizes if _is_wanted(sku, wanted)}
    return {name: each for name, each in described.items() if each}


def _is_wanted(sku: Mapping[str, Any], patterns: Collection[str]) -> bool:
    return not patterns or any(is_size(str(sku.get("name", "")), pattern) for pattern in patterns)


def _is_here(sku: Mapping[str, Any], region: str) -> bool:
    """Restrictions of kind Location say that this subscription may not have it here at all."""
    places = [str(place).lower() for place in sku.get("locations") or []]
    closed = [each for each in sku.get("restrictions") or [] if each.get("type") == "Location"]
    return region in places and not any(region in [p.lower() for p in each.get("values") or []] for each in closed)


def _zones(sku: Mapping[str, Any], region: str) -> list[str]:
    """Those that this subscription may use; [] where none are."""
    for info in sku.get("locationInfo") or []:
        if str(info.get("location", "")).lower() == region:
            return sorted(set(info.get("zones") or []) - _closed_zones(sku))
    return []


def _closed_zones(sku: Mapping[str, Any]) -> set[str]:
    closed = [each for each in sku.get("restrictions") or [] if each.get("type") == "Zone"]
    return {zone for each in closed for zone in (each.get("restrictionInfo") or {}).get("zones") or []}


def _type(sku: Mapping[str, Any], region: str, own_image: bool) -> dict[str, Any]:
    """{} for what can't be used."""
    name = str(sku["name"])
    has = {str(each.get("name")): str(each.get("value")) for each in sku.get("capabilities") or []}
    count = math.ceil(float(has.get("GPUs") or 0))
    gpu = gpu_of(name) if count else None
    if not _boots(has) or (count and gpu is None) or (wants_grid(name) and not own_image):
        return {}
    zones = _zones(sku, region)
    return {
        "cpu": int(has.get("vCPUsAvailable") or has.get("vCPUs") or 1),
        "memory": int(float(has.get("MemoryGB") or 0) * GIB),
        "gpus": [[gpu.name, gpu.memory] for _ in range(count)] if gpu else [],
        "spot": has.get("LowPriorityCapable") == "True",
        # without zones Azure puts it wherever there is place in the region
        "zones": zones or [""],
        "family": str(sku.get("family") or ""),
    }


def _boots(has: Mapping[str, str]) -> bool:
    """Whether an ordinary image for x86 of the second generation does."""
    return (
        has.get("CpuArchitectureType", "x64") == "x64"
        and "V2" in has.get("HyperVGenerations", "V1,V2")
        and not has.get("ConfidentialComputingType")
    )

"""Which sizes there are, how much of each quota is used, and the refusal of what would be more.

https://learn.microsoft.com/en-us/azure/quotas/per-vm-quota-requests and …/quotas/spot-quota
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.fakes.azure import catalogue, machines
from tests.fakes.azure.arm import Handler, Request
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.catalogue import FAMILIES, LOCATIONS, SIZES, Size
from tests.fakes.azure.envelope import check_location
from tests.fakes.azure.launches import Order
from tests.fakes.azure.world import World

# name of a quota: what a person calls it
QUOTAS = {
    "cores": "Total Regional vCPUs",
    "virtualMachines": "Virtual Machines",
    "lowPriorityCores": "Total Regional Low-priority vCPUs",
    **{family: f"Standard {title.removesuffix(' Series')} Family vCPUs" for family, title in FAMILIES.items()},
}


def used(world: World, location: str, quota: str) -> int:
    known = [each for each in world.lives.values() if each.region == location and machines.allocated(each)]
    if quota == "virtualMachines":
        return len(known)
    spot = quota == "lowPriorityCores"
    sizes = [SIZES[each.type.lower()] for each in known if each.spot == spot]
    return sum(size.cores for size in sizes if quota in ("cores", "lowPriorityCores", size.family))


def limit(world: World, quota: str) -> int:
    settings = world.settings
    known = {"cores": settings.cores, "lowPriorityCores": settings.low_priority_cores, "virtualMachines": 25_000}
    return known.get(quota, settings.family_cores)


def check(world: World, order: Order) -> None:
    """Raises Refusal for a machine that one of its quotas has no room for."""
    for quota in ("lowPriorityCores",) if order.spot else ("cores", order.size.family):
        have, most = used(world, order.location, quota), limit(world, quota)
        needed = order.size.cores
        if have + needed > most:
            name = {"cores": "Total Regional", "lowPriorityCores": "LowPriority"}.get(quota, quota)
            why = f"Operation could not be completed as it results in exceeding approved {name} Cores quota. Additional details - Deployment Model: Resource Manager, Location: {order.location}, Current Limit: {most}, Current Usage: {have}, Additional Required: {needed}, (Minimum) New Limit Required: {have + needed}. Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . Submit a request for Quota increase."
            raise Refusal("OperationNotAllowed", why)


def _usages(world: World, request: Request) -> Answer:
    location = check_location(request.params["location"], "Microsoft.Compute/locations/usages")
    found = [
        {
            **{"unit": "Count", "currentValue": used(world, location, quota), "limit": limit(world, quota)},
            "name": {"value": quota, "localizedValue": title},
        }
        for quota, title in QUOTAS.items()
    ]
    return Answer(200, {"value": found})


def _skus(world: World, request: Request) -> Answer:
    """The only filter that there is: `location eq 'eastus'`. https://learn.microsoft.com/en-us/rest/api/compute/resource-skus/list"""
    text = request.call.query.get("$filter", "")
    found = re.fullmatch(r"location eq '(\w+)'", text)
    if text and not found:
        raise Refusal("BadRequest", f"The filter '{text}' is not supported: location eq '...' is.")
    places = [found[1].lower()] if found else list(LOCATIONS)
    rows = [row for place in places if place in LOCATIONS for row in _listed(place)]
    return Answer(200, {"value": rows})


def _listed(location: str) -> Iterator[Json]:
    for size in catalogue.sizes(location):
        yield _sku(size, location)
    place = {"locations": [location], "locationInfo": [{"location": location, "zones": []}]}
    yield {
        **place,
        "resourceType": "disks",
        "name": "Premium_LRS",
        "tier": "Premium",
        "size": "P10",
        "restrictions": [],
    }


def _sku(size: Size, location: str) -> Json:
    capabilities = {
        **{
            "vCPUs": size.cores,
            "MemoryGB": f"{size.memory_gib:g}",
            "GPUs": size.gpus,
            "CpuArchitectureType": size.architecture,
        },
        **{"LowPriorityCapable": bool(size.spot), "HyperVGenerations": "V1,V2", "PremiumIO": True},
        **{"MaxResourceVolumeMB": size.temporary_gib * 1024, "EncryptionAtHostSupported": True},
    }
    if not size.gpus:
        del capabilities["GPUs"]
    zones = list(catalogue.zones(size, location))
    restrictions = []
    if location in size.restricted:
        restrictions.append(
            {
                **{"type": "Location", "values": [location], "reasonCode": "NotAvailableForSubscription"},
                "restrictionInfo": {"locations": [location]},
            }
        )
    return {
        **{"resourceType": "virtualMachines", "name": size.name, "tier": "Standard", "family": size.family},
        **{"size": size.name.removeprefix("Standard_"), "locations": [location], "restrictions": restrictions},
        "locationInfo": [{"location": location, "zones": zones, "zoneDetails": []}],
        "capabilities": [{"name": name, "value": str(value)} for name, value in capabilities.items()],
    }


HANDLERS: dict[str, Handler] = {"usage.list": _usages, "resource_skus.list": _skus}
MODELS = {"usage.list": ("", "each compute.Usage"), "resource_skus.list": ("", "each compute.ResourceSku")}

"""The Cloud Billing Catalog with prices that behave like Google's: by family and region, Spot below on demand. Near those of 2025.

https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping

from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.places import CONTINENTS, ZONES
from tests.fakes.gcp.wire import Json, Refusal

SERVICE = "6F81-5844-456A"
OTHERS = {"95FF-2EF5-5EA1": "Cloud Storage", SERVICE: "Compute Engine"}
PAGE = 5000
# USD an hour in the United States: of a CPU, of a GiB. https://cloud.google.com/compute/vm-instance-pricing
FAMILIES = {
    "N1 Predefined Instance": ("N1Standard", 0.031611, 0.004237),
    "E2 Instance": ("CPU", 0.02181159, 0.00292353),
    "N2 Instance": ("CPU", 0.031611, 0.004237),
    "C3 Instance": ("CPU", 0.03398, 0.004555),
    "A2 Instance": ("CPU", 0.031611, 0.004237),
    "A3 Instance": ("CPU", 0.02975, 0.00262),
    "G2 Instance": ("CPU", 0.024988, 0.002927),
}
# https://cloud.google.com/compute/gpus-pricing
GPUS = {
    "Nvidia Tesla T4 GPU": 0.35,
    "Nvidia Tesla P4 GPU": 0.60,
    "Nvidia Tesla P100 GPU": 1.46,
    "Nvidia Tesla V100 GPU": 2.48,
    "Nvidia L4 GPU": 0.560040,
    "Nvidia Tesla A100 GPU": 2.933908,
    "Nvidia Tesla A100 80GB GPU": 3.928800,
    "Nvidia H100 80GB GPU": 9.796550,
}
# USD a month for a GiB: https://cloud.google.com/compute/disks-image-pricing
DISKS = {"Storage PD Capacity": 0.04, "Balanced PD Capacity": 0.10, "SSD backed PD Capacity": 0.17}
# of built-in local SSDs; for spot machines it is listed as on demand, too
LOCAL_SSDS = {
    "SSD backed Local Storage": 0.08,
    "SSD backed Local Storage attached to Spot Preemptible VMs": 0.048,
}
# what elsewhere costs more, and where in this span Spot lies of what is paid on demand
ABROAD = {"us": 1.0, "europe": 1.1, "asia": 1.2}
CHEAPEST, SPAN = 0.25, 0.20


def handlers() -> Mapping[str, Handler]:
    return {"cloudbilling.services.skus.list": _list, "cloudbilling.services.list": _services}


def _services(call: Call) -> Json:
    known = [
        {"name": f"services/{id}", "serviceId": id, "displayName": name, "businessEntityName": "businessEntities/GCP"}
        for id, name in OTHERS.items()
    ]
    return {"services": known, "nextPageToken": ""}


def _list(call: Call) -> Json:
    id = call.arguments["parent"].rpartition("/")[2]
    if id not in OTHERS:
        raise Refusal(404, f"Service services/{id} not found.", "notFound")
    if call.arguments.get("currencyCode", "USD") != "USD":
        raise Refusal(400, "Only USD is emulated.", "badRequest")
    found, token = skus() if id == SERVICE else [], call.arguments.get("pageToken", "0") or "0"
    size = int(call.arguments.get("pageSize", PAGE)) or PAGE
    if not token.isdigit() or not 0 < size <= PAGE:
        raise Refusal(400, "Request contains an invalid argument.", "badRequest")
    end = int(token) + size
    return {"skus": found[int(token) : end], "nextPageToken": str(end) if end < len(found) else ""}


@functools.cache
def skus() -> list[Json]:
    return [sku for region in ZONES for sku in _of_region(region)]


def _of_region(region: str) -> Iterator[Json]:
    area = region.partition("-")[0]
    place, factor = f"running in {CONTINENTS[area]}", ABROAD[area]
    for family, (group, core, ram) in FAMILIES.items():
        for part, price, unit in (("Core", core, "h"), ("Ram", ram, "GiBy.h")):
            name, kind = f"{family} {part}", group if group != "CPU" or part == "Core" else "RAM"
            yield _sku(region, f"{name} {place}", kind, ("OnDemand", unit), price * factor)
            yield _sku(
                region,
                f"Spot Preemptible {name} {place}",
                kind,
                ("Preemptible", unit),
                price * factor * _spot(region, name),
            )
            yield _sku(
                region,
                f"Commitment v1: {name} in {CONTINENTS[area]} for 1 Year",
                kind,
                ("Commit1Yr", unit),
                price * 0.63,
            )
        custom = family.removesuffix(" Predefined Instance").removesuffix(" Instance")
        yield _sku(region, f"{custom} Custom Instance Core {place}", group, ("OnDemand", "h"), core * factor * 1.05)
    for name, price in GPUS.items():
        yield _sku(region, f"{name} {place}", "GPU", ("OnDemand", "h"), price * factor)
        spot = f"{name} attached to Spot Preemptible VMs {place}"
        yield _sku(region, spot, "GPU", ("Preemptible", "h"), price * factor * _spot(region, name))
    for group, disks in (("PDStandard", DISKS), ("LocalSSD", LOCAL_SSDS)):
        for name, price in disks.items():
            yield _sku(region, f"{name} in {CONTINENTS[area]}", group, ("OnDemand", "GiBy.mo"), price * factor)
    yield _sku(region, "External IP Charge on a Standard VM", "IpAddress", ("OnDemand", "h"), 0.005)


def _spot(region: str, name: str) -> float:
    """A part of the price on demand, by chance that never changes."""
    return CHEAPEST + SPAN * (zlib.crc32(f"{region} {name}".encode()) % 100) / 100


UNITS = {"h": "hour", "GiBy.h": "gibibyte hour", "GiBy.mo": "gibibyte month"}


def _sku(region: str, description: str, group: str, usage: tuple[str, str], dollars: float) -> Json:
    kind, unit = usage
    id = f"{zlib.crc32(f'{region} {description}'.encode()):08X}"
    id = f"{id[:4]}-{id[4:]}-{zlib.crc32(region.encode()) % 65536:04X}"
    rate = {"startUsageAmount": 0.0, "unitPrice": {"currencyCode": "USD", **_money(dollars)}}
    expression = {
        "usageUnit": unit, "usageUnitDescription": UNITS[unit], "displayQuantity": 1.0, "tieredRates": [rate],
        "baseUnit": "s" if unit == "h" else "By.s", "baseUnitConversionFactor": 3600.0,
        "baseUnitDescription": "second" if unit == "h" else "byte second",
    }  # fmt: skip
    category = {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "resourceGroup": group}
    pricing = {"summary": "", "pricingExpression": expression, "currencyConversionRate": 1.0}
    return {
        "name": f"services/{SERVICE}/skus/{id}",
        "skuId": id,
        "description": description,
        "category": {**category, "usageType": kind},
        "serviceRegions": [region],
        "pricingInfo": [{**pricing, "effectiveTime": "2025-10-01T00:00:00Z"}],
        "serviceProviderName": "Google",
        "geoTaxonomy": {"type": "REGIONAL", "regions": [region]},
    }


def _money(dollars: float) -> Json:
    nanos = round(dollars * 1e9)
    return {"units": str(nanos // 10**9), "nanos": nanos % 10**9}

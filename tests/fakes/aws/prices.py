"""Prices that behave like AWS's: by type, by zone, spot below on demand. Made up by a formula, near the real ones in 2025.

moto says 0.00001 of every spot machine, and has no price list.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

# USD an hour, fitted by eye to m5, c5, r5, g4dn, g5 and p3
A_CPU, A_GIB, A_GIB_OF_GPU = 0.0357, 0.0035, 0.02
# of what machines on demand cost: where in this span a zone's spot price lies is chance that never changes
CHEAPEST, SPAN = 0.28, 0.17
PAGE = 100
Json = dict[str, Any]


def vcpus(instance_type: str) -> int:
    """0 of a type that there isn't."""
    known: Json = INSTANCE_TYPES.get(instance_type, {})
    return int(known.get("VCpuInfo", {}).get("DefaultVCpus", 0))


def on_demand(instance_type: str) -> float:
    """USD an hour."""
    known: Json = INSTANCE_TYPES[instance_type]
    gpu = known.get("GpuInfo", {}).get("TotalGpuMemoryInMiB", 0)
    cost = known["VCpuInfo"]["DefaultVCpus"] * A_CPU + known["MemoryInfo"]["SizeInMiB"] / 1024 * A_GIB
    return float(round(cost + gpu / 1024 * A_GIB_OF_GPU, 4))


def spot(instance_type: str, zone: str) -> float:
    """USD an hour."""
    chance = zlib.crc32(f"{zone} {instance_type}".encode()) % 100 / 100
    return round(on_demand(instance_type) * (CHEAPEST + SPAN * chance), 4)


def products(params: Mapping[str, Any]) -> Json:
    """The answer of the price list's GetProducts.

    https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
    """
    wanted = {each["Field"]: each["Value"] for each in params.get("Filters", [])}
    found = [product for product in _products(wanted) if _fits(product["product"]["attributes"], wanted)]
    start = int(params.get("NextToken") or 0)
    end = start + min(int(params.get("MaxResults") or PAGE), PAGE)
    answer: Json = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product) for product in found[start:end]]}
    return {**answer, "NextToken": str(end)} if end < len(found) else answer


def _fits(attributes: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """A field that isn't an attribute at all matches nothing, as there."""
    return all(name == "ServiceCode" or attributes.get(name) == value for name, value in wanted.items())


def _products(wanted: Mapping[str, str]) -> Iterator[Json]:
    regions = INSTANCE_TYPE_OFFERINGS["region"]
    for region in [wanted["regionCode"]] if "regionCode" in wanted else sorted(regions):
        for name in sorted({offering["InstanceType"] for offering in regions.get(region, [])} & set(INSTANCE_TYPES)):
            if wanted.get("instanceType", name) == name:
                yield _product(region, name)


def _product(region: str, name: str) -> Json:
    known: Json = INSTANCE_TYPES[name]
    sku = f"{zlib.crc32(f'{region} {name}'.encode()):016X}"
    attributes = {
        **{"servicecode": "AmazonEC2", "servicename": "Amazon Elastic Compute Cloud", "locationType": "AWS Region"},
        **{"regionCode": region, "instanceType": name, "operatingSystem": "Linux", "tenancy": "Shared"},
        **{"capacitystatus": "Used", "preInstalledSw": "NA", "licenseModel": "No License required"},
        **{"operation": "RunInstances", "marketoption": "OnDemand"},
        "vcpu": str(known["VCpuInfo"]["DefaultVCpus"]),
        "memory": f"{known['MemoryInfo']['SizeInMiB'] / 1024:g} GiB",
    }
    term, dimension = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    price = {"unit": "Hrs", "pricePerUnit": {"USD": f"{on_demand(name):.10f}"}, "rateCode": dimension, "appliesTo": []}
    terms = {"OnDemand": {term: {"sku": sku, "priceDimensions": {dimension: price}, "termAttributes": {}}}}
    product = {"productFamily": "Compute Instance", "attributes": attributes, "sku": sku}
    return {"serviceCode": "AmazonEC2", "product": product, "terms": terms, "version": "20250101000000"}

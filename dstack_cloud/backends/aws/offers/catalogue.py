"""What EC2 has in one region: instance types, the zones that have them, and what they cost. All of it read, nothing known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeInfoTypeDef

MIB = 2**20
ARCHITECTURE = "x86_64"
PRODUCT = "Linux/UNIX"

# Instance types as JSON: {name: {"cpu", "memory" (bytes), "gpus": [[name, bytes], …], "spot", "on_demand", "nitro", "metal"}}
Types = dict[str, dict[str, Any]]
# {zone: {type: USD per hour}}
Zones = dict[str, dict[str, float]]
# {type: USD per hour}
Prices = dict[str, float]


def types(client: AwsClient, region: str) -> Types:
    filters: list[FilterTypeDef] = [{"Name": "processor-info.supported-architecture", "Values": [ARCHITECTURE]}]
    if client.config.instance_types:
        filters.append({"Name": "instance-type", "Values": list(client.config.instance_types)})
    with translated(region):
        pages = client.ec2(region).get_paginator("describe_instance_types")
        return {
            str(info["InstanceType"]): _type(info)
            for page in pages.paginate(Filters=filters, PaginationConfig={"PageSize": 100})
            for info in page["InstanceTypes"]
            if _is_usable(info)
        }


def spot_prices(client: AwsClient, region: str, names: Sequence[str]) -> Zones:
    """The price in each zone now. A zone that isn't named doesn't have the type as a spot machine."""
    found: dict[tuple[str, str], tuple[datetime, float]] = {}
    with translated(region):
        pages = client.ec2(region).get_paginator("describe_spot_price_history")
        wanted: Any = {"InstanceTypes": list(names)} if names else {}
        for page in pages.paginate(
            StartTime=datetime.now(timezone.utc), ProductDescriptions=[PRODUCT, f"{PRODUCT} (Amazon VPC)"], **wanted
        ):
            for entry in page["SpotPriceHistory"]:
                place = entry["AvailabilityZone"], str(entry["InstanceType"])
                latest = entry["Timestamp"], float(entry["SpotPrice"])
                found[place] = max(latest, found.get(place, latest))
    zones: Zones = {}
    for (zone, name), (_, dollars) in found.items():
        zones.setdefault(zone, {})[name] = dollars
    return zones


def zones(client: AwsClient, region: str) -> dict[str, list[str]]:
    """{zone: the types it has}"""
    filters: list[FilterTypeDef] = []
    if client.config.instance_types:
        filters.append({"Name": "instance-type", "Values": list(client.config.instance_types)})
    found: dict[str, list[str]] = {}
    with translated(region):
        pages = client.ec2(region).get_paginator("describe_instance_type_offerings")
        for page in pages.paginate(
            LocationType="availability-zone", Filters=filters, PaginationConfig={"PageSize": 1000}
        ):
            for offering in page["InstanceTypeOfferings"]:
                found.setdefault(offering["Location"], []).append(str(offering["InstanceType"]))
    return found


def on_demand_prices(client: AwsClient, region: str) -> Prices:
    """USD per hour of Linux without extras on shared hardware."""
    wanted = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    found: Prices = {}
    with translated(f"price list of {region}"):
        pages = client.pricing().get_paginator("get_products")
        for page in pages.paginate(
            ServiceCode="AmazonEC2",
            Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()],
        ):
            for text in page["PriceList"]:
                found.update(_price(json.loads(text)))
    return found


def _price(product: Mapping[str, Any]) -> Prices:
    """{type: USD per hour} of one entry of the price list; empty where it has none by the hour in dollars."""
    name = product.get("product", {}).get("attributes", {}).get("instanceType")
    terms = product.get("terms", {}).get("OnDemand", {})
    dimensions = [each for term in terms.values() for each in term["priceDimensions"].values()]
    amounts = [float(each["pricePerUnit"]["USD"]) for each in dimensions if "USD" in each["pricePerUnit"]]
    # what is reserved or pre-paid is listed at 0
    return {name: amounts[0]} if name and amounts and amounts[0] > 0 else {}


def _is_usable(info: InstanceTypeInfoTypeDef) -> bool:
    gpus = info.get("GpuInfo", {}).get("Gpus", [])
    return (
        ARCHITECTURE in info.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
        and "ebs" in info.get("SupportedRootDeviceTypes", [])
        and bool({"spot", "on-demand"} & set(info.get("SupportedUsageClasses", [])))
        and all(gpu.get("Manufacturer") == "NVIDIA" for gpu in gpus)
    )


def _type(info: InstanceTypeInfoTypeDef) -> dict[str, Any]:
    gpus = [
        [gpu.get("Name", "GPU"), gpu.get("MemoryInfo", {}).get("SizeInMiB", 0) * MIB]
        for gpu in info.get("GpuInfo", {}).get("Gpus", [])
        for _ in range(gpu.get("Count", 1))
    ]
    usage = info.get("SupportedUsageClasses", [])
    return {
        "cpu": info.get("VCpuInfo", {}).get("DefaultVCpus", 1),
        "memory": info.get("MemoryInfo", {}).get("SizeInMiB", 0) * MIB,
        "gpus": gpus,
        "spot": "spot" in usage,
        "on_demand": "on-demand" in usage,
        "nitro": info.get("Hypervisor") == "nitro",
        "metal": info.get("BareMetal", False),
    }

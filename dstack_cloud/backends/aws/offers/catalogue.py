"""What EC2 has in one region: instance types, and the zones that have them. All of it read, nothing known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeInfoTypeDef

MIB = 2**20
ARCHITECTURE = "x86_64"

# Instance types as JSON: {name: {"cpu", "memory" (bytes), "gpus": [[name, bytes], …], "spot", "on_demand", "nitro", "metal"}}
Types = dict[str, dict[str, Any]]
# {zone: the types it has}
Zones = dict[str, list[str]]


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


def zones(client: AwsClient, region: str) -> Zones:
    filters: list[FilterTypeDef] = []
    if client.config.instance_types:
        filters.append({"Name": "instance-type", "Values": list(client.config.instance_types)})
    found: Zones = {}
    with translated(region):
        pages = client.ec2(region).get_paginator("describe_instance_type_offerings")
        for page in pages.paginate(
            LocationType="availability-zone", Filters=filters, PaginationConfig={"PageSize": 1000}
        ):
            for offering in page["InstanceTypeOfferings"]:
                found.setdefault(offering["Location"], []).append(str(offering["InstanceType"]))
    return found


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

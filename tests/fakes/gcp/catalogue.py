"""Machine types and accelerators as Compute Engine offers them, and where.

https://cloud.google.com/compute/docs/machine-resource, .../docs/gpus and .../docs/gpus/gpu-regions-zones, 2025
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes.gcp import places
from tests.fakes.gcp.places import LINK, number
from tests.fakes.gcp.wire import Json

GIB = 1024


@dataclass(frozen=True)
class Accelerator:
    """`counts` are how many a machine can have, `zones` where there are any. `family` is the machines' whose part it is."""

    name: str
    description: str
    family: str
    counts: tuple[int, ...]
    zones: tuple[str, ...]
    # what the quotas call it: NVIDIA_T4_GPUS
    metric: str


@dataclass(frozen=True)
class MachineType:
    """`memory` is MiB. `accelerator` is built in, with its count; else ("", 0). `ssds` are the local SSDs that are built in."""

    name: str
    cpus: int
    memory: int
    accelerator: tuple[str, int] = ("", 0)
    shared: bool = False
    ssds: int = 0

    @property
    def family(self) -> str:
        return self.name.partition("-")[0]


ACCELERATORS = {
    each.name: each
    for each in (
        Accelerator(
            "nvidia-tesla-t4", "NVIDIA T4", "n1", (1, 2, 4),
            ("us-central1-a", "us-central1-b", "us-central1-f", "us-east1-c", "us-east1-d", "us-west1-a", "us-west1-b",
             "europe-west1-b", "europe-west1-c", "europe-west4-a", "europe-west4-b", "asia-southeast1-b"),
            "NVIDIA_T4_GPUS",
        ),
        Accelerator("nvidia-tesla-p4", "NVIDIA Tesla P4", "n1", (1, 2, 4), ("us-central1-a", "us-east4-a", "europe-west4-b"), "NVIDIA_P4_GPUS"),
        Accelerator("nvidia-tesla-p100", "NVIDIA Tesla P100", "n1", (1, 2, 4), ("us-central1-c", "us-west1-a", "europe-west1-b"), "NVIDIA_P100_GPUS"),
        Accelerator("nvidia-tesla-v100", "NVIDIA V100", "n1", (1, 2, 4, 8), ("us-central1-a", "us-west1-a", "europe-west4-a"), "NVIDIA_V100_GPUS"),
        Accelerator("nvidia-l4", "NVIDIA L4", "g2", (1, 2, 4, 8), ("us-central1-a", "us-central1-b", "us-east4-a", "us-west1-a", "europe-west4-a", "europe-west4-b"), "NVIDIA_L4_GPUS"),
        Accelerator("nvidia-tesla-a100", "NVIDIA A100 40GB", "a2", (1, 2, 4, 8, 16), ("us-central1-a", "us-central1-c", "us-central1-f", "us-east1-b", "us-west1-b", "europe-west4-a"), "NVIDIA_A100_GPUS"),
        Accelerator("nvidia-a100-80gb", "NVIDIA A100 80GB", "a2", (1, 2, 4, 8), ("us-central1-a", "us-central1-c", "us-east4-c", "europe-west4-a"), "NVIDIA_A100_80GB_GPUS"),
        Accelerator("nvidia-h100-80gb", "NVIDIA H100 80GB", "a3", (1, 2, 4, 8), ("us-central1-a", "us-central1-c", "us-east4-a", "europe-west4-b", "asia-southeast1-b"), "NVIDIA_H100_GPUS"),
    )
}  # fmt: skip

# the most CPUs beside so many attached accelerators: https://cloud.google.com/compute/docs/gpus#n1-gpus
MOST_CPUS = {
    "nvidia-tesla-t4": {1: 48, 2: 48, 4: 96},
    "nvidia-tesla-p4": {1: 24, 2: 48, 4: 96},
    "nvidia-tesla-p100": {1: 16, 2: 32, 4: 96},
    "nvidia-tesla-v100": {1: 12, 2: 24, 4: 48, 8: 96},
}

# family of sizes: GiB of memory for a CPU, and CPUs
SIZES: dict[str, tuple[float, tuple[int, ...]]] = {
    "e2-standard": (4, (2, 4, 8, 16, 32)),
    "e2-highmem": (8, (2, 4, 8, 16)),
    "e2-highcpu": (1, (2, 4, 8, 16, 32)),
    "n1-standard": (3.75, (1, 2, 4, 8, 16, 32, 64, 96)),
    "n1-highmem": (6.5, (2, 4, 8, 16, 32, 64, 96)),
    "n1-highcpu": (0.9, (2, 4, 8, 16, 32, 64, 96)),
    "n2-standard": (4, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)),
    "n2-highmem": (8, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)),
    "n2-highcpu": (1, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
}
# name, CPUs, GiB, local SSDs: https://cloud.google.com/compute/docs/general-purpose-machines#c3_with_local_ssd
WITH_SSDS = tuple(
    MachineType(f"c3-standard-{cpus}-lssd", cpus, 4 * cpus * GIB, ssds=ssds)
    for cpus, ssds in ((4, 1), (8, 2), (22, 4), (44, 8))
)
SHARED = tuple(
    MachineType(f"e2-{size}", 2, gib * GIB, shared=True) for size, gib in (("micro", 1), ("small", 2), ("medium", 4))
)
# local SSDs beside each GPU: https://cloud.google.com/compute/docs/accelerator-optimized-machines
SSDS_BESIDE = {"nvidia-a100-80gb": 1, "nvidia-h100-80gb": 2}
# accelerator, and of each machine with it: name, CPUs, GiB, count
BUILT_IN: dict[str, tuple[tuple[str, int, int, int], ...]] = {
    "nvidia-l4": (
        ("g2-standard-4", 4, 16, 1), ("g2-standard-8", 8, 32, 1), ("g2-standard-12", 12, 48, 1), ("g2-standard-16", 16, 64, 1),
        ("g2-standard-24", 24, 96, 2), ("g2-standard-32", 32, 128, 1), ("g2-standard-48", 48, 192, 4), ("g2-standard-96", 96, 384, 8),
    ),
    "nvidia-tesla-a100": (
        ("a2-highgpu-1g", 12, 85, 1), ("a2-highgpu-2g", 24, 170, 2), ("a2-highgpu-4g", 48, 340, 4), ("a2-highgpu-8g", 96, 680, 8),
        ("a2-megagpu-16g", 96, 1360, 16),
    ),
    "nvidia-a100-80gb": (
        ("a2-ultragpu-1g", 12, 170, 1), ("a2-ultragpu-2g", 24, 340, 2), ("a2-ultragpu-4g", 48, 680, 4), ("a2-ultragpu-8g", 96, 1360, 8),
    ),
    "nvidia-h100-80gb": (
        ("a3-highgpu-1g", 26, 234, 1), ("a3-highgpu-2g", 52, 468, 2), ("a3-highgpu-4g", 104, 936, 4), ("a3-highgpu-8g", 208, 1872, 8),
    ),
}  # fmt: skip


@functools.cache
def machine_types(zone: str) -> dict[str, MachineType]:
    """Those of a zone, by name."""
    return {each.name: each for each in _machine_types(zone)}


def _machine_types(zone: str) -> Iterator[MachineType]:
    yield from (*SHARED, *WITH_SSDS)
    for family, (memory, counts) in SIZES.items():
        for cpus in counts:
            yield MachineType(f"{family}-{cpus}", cpus, int(cpus * memory * GIB))
    for name, sizes in BUILT_IN.items():
        for size, cpus, memory_gib, count in sizes if zone in ACCELERATORS[name].zones else ():
            ssds = count * SSDS_BESIDE.get(name, 0)
            yield MachineType(size, cpus, memory_gib * GIB, (name, count), ssds=ssds)


@functools.cache
def everywhere() -> dict[str, MachineType]:
    """Those of any zone."""
    return {name: found for zone in places.zones() for name, found in machine_types(zone).items()}


def machine_type_documents(project: str, zone: str) -> list[Json]:
    return [_machine_type_document(project, zone, each) for each in machine_types(zone).values()]


def accelerator_documents(project: str, zone: str) -> list[Json]:
    return [_accelerator_document(project, zone, each) for each in ACCELERATORS.values() if zone in each.zones]


def _machine_type_document(project: str, zone: str, known: MachineType) -> Json:
    name, count = known.accelerator
    ssds = {"bundledLocalSsds": {"defaultInterface": "NVME", "partitionCount": known.ssds}} if known.ssds else {}
    gpus = {"accelerators": [{"guestAcceleratorType": name, "guestAcceleratorCount": count}]} if count else {}
    return {
        "kind": "compute#machineType",
        "id": number(f"{zone} {known.name}"),
        "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
        "name": known.name,
        "description": f"{known.cpus} vCPUs, {known.memory / GIB:g} GB RAM"
        + (f", {count} {name} GPUs" if count else ""),
        "guestCpus": known.cpus,
        "memoryMb": known.memory,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 16 if known.shared else 128,
        "maximumPersistentDisksSizeGb": "3072" if known.shared else "263168",
        "zone": zone,
        "selfLink": f"{LINK}projects/{project}/zones/{zone}/machineTypes/{known.name}",
        "isSharedCpu": known.shared,
        "architecture": "X86_64",
        **gpus,
        **ssds,
    }


def _accelerator_document(project: str, zone: str, known: Accelerator) -> Json:
    return {
        "kind": "compute#acceleratorType",
        "id": number(f"{zone} {known.name}"),
        "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
        "name": known.name,
        "description": known.description,
        "zone": f"{LINK}projects/{project}/zones/{zone}",
        "selfLink": f"{LINK}projects/{project}/zones/{zone}/acceleratorTypes/{known.name}",
        "maximumCardsPerInstance": max(known.counts),
    }

"""Names of machine types with the GPUs that are attached to them, and what each family of machines is made with. Pure.

An offer's instance type is a machine type's name; where GPUs are attached, they stand behind a plus: n1-standard-8+2xnvidia-tesla-t4.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

GIB = 2**30
ATTACHED = re.compile(r"([a-z0-9-]+)\+(\d+)x([a-z0-9-]+)")
# families that boot from Hyperdisk only: https://cloud.google.com/compute/docs/disks/hyperdisks#machine-type-support
HYPERDISK_FAMILIES = frozenset({"c4", "c4a", "c4d", "n4", "n4a", "n4d", "h4d", "m4", "x4", "a4", "a4x", "g4", "z3"})
HYPERDISK_TYPES = ("a3-ultragpu",)


class Kind(NamedTuple):
    """`accelerator` is the name of the GPUs that are attached, "" where there are none or the type has them built in."""

    machine_type: str
    accelerator: str
    gpus: int


class Limit(NamedTuple):
    """What a machine may have at most with so many GPUs. `memory` is bytes."""

    cpu: int
    memory: int


# https://cloud.google.com/compute/docs/gpus#n1-gpus
N1_LIMITS: dict[str, dict[int, Limit]] = {
    "nvidia-tesla-t4": {1: Limit(48, 312 * GIB), 2: Limit(48, 312 * GIB), 4: Limit(96, 624 * GIB)},
    "nvidia-tesla-p4": {1: Limit(24, 156 * GIB), 2: Limit(48, 312 * GIB), 4: Limit(96, 624 * GIB)},
    "nvidia-tesla-v100": {
        **{1: Limit(12, 78 * GIB), 2: Limit(24, 156 * GIB), 4: Limit(48, 312 * GIB)},
        8: Limit(96, 624 * GIB),
    },
    "nvidia-tesla-p100": {1: Limit(16, 104 * GIB), 2: Limit(32, 208 * GIB), 4: Limit(64, 208 * GIB)},
}
ATTACHES = "n1"


class GpuKind(NamedTuple):
    """`name` is what people call it, `memory` GiB, `sku` what the price list calls it before " GPU". `quota` is what a region's
    quotas call it, PREEMPTIBLE_ before it for spot machines; "": they don't tell of it."""

    name: str
    memory: int
    sku: str
    quota: str = ""


# Names and memory: https://cloud.google.com/compute/docs/gpus; the API tells no memory. Quotas:
# https://cloud.google.com/compute/resource-usage#gpu_quota
GPUS = {
    "nvidia-tesla-t4": GpuKind("T4", 16, "Nvidia Tesla T4", "NVIDIA_T4_GPUS"),
    "nvidia-tesla-p4": GpuKind("P4", 8, "Nvidia Tesla P4", "NVIDIA_P4_GPUS"),
    "nvidia-tesla-v100": GpuKind("V100", 16, "Nvidia Tesla V100", "NVIDIA_V100_GPUS"),
    "nvidia-tesla-p100": GpuKind("P100", 16, "Nvidia Tesla P100", "NVIDIA_P100_GPUS"),
    "nvidia-l4": GpuKind("L4", 24, "Nvidia L4", "NVIDIA_L4_GPUS"),
    "nvidia-tesla-a100": GpuKind("A100-40GB", 40, "Nvidia Tesla A100", "NVIDIA_A100_GPUS"),
    "nvidia-a100-80gb": GpuKind("A100-80GB", 80, "Nvidia Tesla A100 80GB", "NVIDIA_A100_80GB_GPUS"),
    "nvidia-h100-80gb": GpuKind("H100-80GB", 80, "Nvidia H100 80GB", "NVIDIA_H100_GPUS"),
    "nvidia-h100-mega-80gb": GpuKind("H100-80GB", 80, "Nvidia H100 80GB Mega"),
    "nvidia-h200-141gb": GpuKind("H200-141GB", 141, "H200 141GB"),
    "nvidia-b200": GpuKind("B200-180GB", 180, "Nvidia B200 180GB"),
    "nvidia-rtx-pro-6000": GpuKind("RTX-PRO-6000", 96, "Nvidia RTX PRO 6000 96GB"),
}
# only as spot machines, or for those who reserved them: https://cloud.google.com/compute/docs/gpus#a3-series
SPOT_ONLY = frozenset({"a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g"})
# N1's shared-core types and the types of Arm, Mac and TPU hosts are none that jobs run on
SHARED_CORE = {"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}
USUAL = frozenset(
    {"e2", "n1", "n2", "n2d", "n4", "n4d", "c2", "c2d", "c3", "c3d", "c4", "c4d", "t2d", "g2", "a2", "a3"}
)


def local_ssd(machine_type: str) -> int:
    """Bytes of one of the local SSDs that are built into it: https://cloud.google.com/compute/docs/disks/local-ssd"""
    return (3000 if family(machine_type) == "z3" else 375) * GIB


def attached(machine_type: str, accelerator: str, count: int) -> str:
    return f"{machine_type}+{count}x{accelerator}"


def split(instance_type: str) -> Kind:
    found = ATTACHED.fullmatch(instance_type)
    return Kind(found[1], found[3], int(found[2])) if found else Kind(instance_type, "", 0)


def is_meant(instance_type: str, pattern: str) -> bool:
    """Whether a pattern of `instance_types` names it, with the GPUs that are attached or without."""
    return fnmatchcase(instance_type, pattern) or fnmatchcase(split(instance_type).machine_type, pattern)


def family(instance_type: str) -> str:
    """The series that a machine type belongs to: "n1" of n1-standard-8."""
    return instance_type.partition("-")[0]


def is_bare_metal(instance_type: str) -> bool:
    """It can't be moved, and boots from Hyperdisk only: https://cloud.google.com/compute/docs/instances/bare-metal-instances"""
    return instance_type.endswith("-metal")


def disk_type(instance_type: str) -> str:
    named = is_bare_metal(instance_type) or instance_type.startswith(HYPERDISK_TYPES)
    hyper = named or family(instance_type) in HYPERDISK_FAMILIES
    return "hyperdisk-balanced" if hyper else "pd-balanced"

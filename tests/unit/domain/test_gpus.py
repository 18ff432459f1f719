from __future__ import annotations

import pytest

from dstack_cloud.backends.base import nvidia
from dstack_cloud.domain.resources import Gpu, GpuRequirement, Machine, Requirements, describe, fits, is_called


@pytest.mark.parametrize(
    ("asked", "has", "same"),
    [
        ("A100", "A100-SXM4-80GB", True),
        ("A10", "A100-SXM4-80GB", False),
        ("A10", "A10G", False),
        ("a10g", "A10G", True),
        ("L4", "L40S", False),
        ("H100", "H100 80GB HBM3", True),
        ("A100-80GB", "A100-SXM4-80GB", True),
        ("A100-40GB", "A100-SXM4-80GB", False),
        ("rtx4090", "GeForce RTX 4090", True),
        ("RTX 6000", "Quadro RTX 6000", True),
        ("V100", "H200", False),
        (None, "H200", True),
    ],
)
def test_what_people_call_a_gpu(asked: str | None, has: str, same: bool) -> None:
    assert is_called(Gpu(name=has, memory=1), asked) is same


def test_a_dearer_gpu_of_a_like_name_is_not_taken() -> None:
    machine = Machine(cpu=1, memory=1, gpus=(Gpu(name="A100", memory=1),))
    assert fits(machine, Requirements(gpu=GpuRequirement(name="A10"))) == "needs 1 A10 GPU, has 1 (A100)"


def test_gpus_as_nvidia_smi_lists_them() -> None:
    lines = ["NVIDIA H200, 143771", "Tesla V100-SXM2-16GB, 16384", "NVIDIA GB10, [N/A]", ""]
    found = nvidia.read_gpus(lines)
    assert [(gpu.name, gpu.memory // 2**20) for gpu in found] == [
        ("H200", 143771),
        ("V100-SXM2-16GB", 16384),
        ("GB10", 0),
    ]


def test_a_machine_in_words() -> None:
    gpu = Gpu(name="T4", memory=16 << 30)
    assert describe(Machine(cpu=1, memory=1 << 30)) == "1 CPU, 1.0 GiB"
    assert describe(Machine(cpu=8, memory=16 << 30, gpus=(gpu, gpu))) == "8 CPUs, 16.0 GiB, 2 × T4 (16 GiB)"

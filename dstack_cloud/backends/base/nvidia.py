"""GPUs as NVIDIA's nvidia-smi lists them, on whichever machine."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_cloud.domain.resources import Gpu

# https://docs.nvidia.com/deploy/nvidia-smi: memory in MiB
QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
MIB = 2**20


def read_gpus(lines: Iterable[str]) -> tuple[Gpu, ...]:
    """What QUERY printed, a line a GPU. A GPU that shares the processor's memory says "[N/A]": it has none of its own."""
    rows = [line.rpartition(",") for line in lines if "," in line]
    return tuple(Gpu(name=_short(name.strip()), memory=_mebibytes(memory.strip())) for name, _, memory in rows)


def _short(name: str) -> str:
    """As people and clouds call it: "NVIDIA H200" is an H200, "Tesla V100-SXM2-16GB" a V100-SXM2-16GB."""
    return name.removeprefix("NVIDIA ").removeprefix("Tesla ")


def _mebibytes(text: str) -> int:
    return int(text) * MIB if text.isdecimal() else 0

"""Which NVIDIA GPU a size has: Azure's lists tell how many, and not which.

https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated (each series has its page)
"""

from __future__ import annotations

import re

from dstack_cloud.domain.resources import Gpu

GIB = 2**30
# the size's name, the GPU's, GiB of one. What matches nothing has another maker's, or one that isn't known here.
SERIES: tuple[tuple[str, str, float], ...] = (
    (r"NC\d+as_T4_v3", "T4", 16),
    (r"NC\d+r?s_v3", "V100", 16),
    (r"ND40rs_v2", "V100", 32),
    (r"NC\d+adi?s_A100_v4", "A100", 80),
    (r"ND96asr_v4", "A100", 40),
    (r"ND96amsr_A100_v4", "A100", 80),
    (r"NC\d+adi?s_H100_v5", "H100", 94),
    (r"ND96isr?f?_H100_v5", "H100", 80),
    (r"ND96isr?f?_H200_v5", "H200", 141),
    (r"NC\d+s_v2", "P100", 16),
    (r"NV\d+s_v3", "M60", 8),
    (r"NV(36|72)adm?s_A10_v5", "A10", 24),
    # a part of a card
    (r"NV18ads_A10_v5", "A10", 12),
    (r"NV12ads_A10_v5", "A10", 8),
    (r"NV6ads_A10_v5", "A10", 4),
)
_KNOWN = tuple((re.compile(f"Standard_{pattern}", re.IGNORECASE), name, gib) for pattern, name, gib in SERIES)
# virtual GPUs want NVIDIA's GRID driver, which no image of Azure's brings:
# https://learn.microsoft.com/azure/virtual-machines/linux/n-series-driver-setup
_GRID = re.compile(r"Standard_NV", re.IGNORECASE)


def gpu_of(size: str) -> Gpu | None:
    """One of the GPUs of a size; None where it isn't known."""
    for pattern, name, gib in _KNOWN:
        if pattern.fullmatch(size):
            return Gpu(name=name, memory=int(gib * GIB))
    return None


def wants_grid(size: str) -> bool:
    """Whether CUDA's driver won't do."""
    return bool(_GRID.match(size))

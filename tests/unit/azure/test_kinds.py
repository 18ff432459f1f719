from __future__ import annotations

import pytest

from dstack_cloud.backends.azure.kinds import gpu_of


@pytest.mark.parametrize(
    ("size", "name", "gib"),
    [
        ("Standard_NC6s_v3", "V100", 16),
        ("Standard_NC24ads_A100_v4", "A100", 80),
        ("Standard_ND96asr_v4", "A100", 40),
        ("Standard_NC80adis_H100_v5", "H100", 94),
        ("Standard_ND96isr_H100_v5", "H100", 80),
        ("Standard_ND96isr_H200_v5", "H200", 141),
        ("Standard_NV36ads_A10_v5", "A10", 24),
        ("Standard_NV6ads_A10_v5", "A10", 4),
    ],
)
def test_which_gpu_a_size_has(size: str, name: str, gib: int) -> None:
    gpu = gpu_of(size)
    assert gpu and (gpu.name, gpu.memory) == (name, gib * 2**30)


@pytest.mark.parametrize("size", ["Standard_NV4as_v4", "Standard_ND96isr_MI300X_v5", "Standard_D2s_v5"])
def test_other_makers_gpus_are_not_known(size: str) -> None:
    assert gpu_of(size) is None

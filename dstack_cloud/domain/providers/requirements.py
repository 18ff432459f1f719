"""From a workflow's resources and the command line to what a job asks of a machine."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from dstack_cloud.domain.parsing.model import Resources
from dstack_cloud.domain.parsing.shapes import parse_gpu
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import ConfigurationError


class Overrides(TypedDict, total=False):
    """What the command line asks for on top of the file; `max_price` is USD per hour, `gpu` as `1`, `V100`, `V100:2`, `16GB`."""

    backends: list[str]
    spot_policy: Literal["spot", "on-demand", "auto"]
    max_price: float
    gpu: str


def requirements(
    resources: Resources, overrides: Overrides, *, image: str | None, python: str | None, nodes: int = 1
) -> Requirements:
    """Each override takes the place of the field of its name. Raises ConfigurationError."""
    policy = overrides.get("spot_policy") or resources.spot_policy or SpotPolicy.ON_DEMAND
    return Requirements(
        cpu=resources.cpu,
        memory=resources.memory,
        gpu=_gpu(resources, overrides),
        shm_size=resources.shm_size,
        disk=resources.disk,
        spot_policy=SpotPolicy(policy),
        max_price=_max_price(resources, overrides),
        regions=resources.regions,
        backends=tuple(overrides.get("backends") or resources.backends),
        instance_types=resources.instance_types,
        image=image,
        python=python,
        nodes=nodes,
    )


def _gpu(resources: Resources, overrides: Overrides) -> GpuRequirement | None:
    if "gpu" in overrides:
        wanted = parse_gpu(overrides["gpu"])
    elif resources.gpu is not None:
        wanted = GpuRequirement(**resources.gpu.model_dump())
    else:
        return None
    return wanted if wanted.count else None


def _max_price(resources: Resources, overrides: Overrides) -> float | None:
    price = overrides.get("max_price", resources.max_price)
    # `not >=` refuses NaN, too
    if price is not None and not 0 <= price < float("inf"):
        raise ConfigurationError(f"the maximum price {price} isn't a price", "give USD per hour, such as 0.5")
    return price

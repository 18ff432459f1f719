"""What a job asks of a machine (all of it minimums) and what a machine has."""

from __future__ import annotations

import re
from enum import Enum

from pydantic import BaseModel, ConfigDict

WORDS = re.compile(r"[a-z0-9]+")
# of every price, as ISO 4217 calls it: each cloud is asked for its prices in it
CURRENCY = "USD"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpotPolicy(str, Enum):
    SPOT = "spot"
    ON_DEMAND = "on-demand"
    AUTO = "auto"


class GpuRequirement(Frozen):
    """`memory` is bytes of one GPU."""

    name: str | None = None
    count: int = 1
    memory: int | None = None


class Requirements(Frozen):
    """`memory`, `shm_size` and `disk` are bytes; `max_price` is USD per hour. `nodes` is how many such machines work together.

    `image` and `python` are here because a machine without Docker, or without that Python, doesn't fit.
    """

    cpu: int | None = None
    memory: int | None = None
    gpu: GpuRequirement | None = None
    shm_size: int | None = None
    disk: int | None = None
    spot_policy: SpotPolicy = SpotPolicy.ON_DEMAND
    max_price: float | None = None
    regions: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    image: str | None = None
    python: str | None = None
    nodes: int = 1


class Gpu(Frozen):
    name: str
    memory: int


class Machine(Frozen):
    """What an instance type has: `memory` and `disk` in bytes, `disk` None where it is as large as asked for."""

    cpu: int
    memory: int
    gpus: tuple[Gpu, ...] = ()
    disk: int | None = None


class Offer(Frozen):
    """`price` is USD per hour, None where no price list could be read (never 0 for unknown)."""

    backend: str
    region: str
    zone: str = ""
    instance_type: str
    machine: Machine
    spot: bool = False
    price: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str, bool]:
        """What is the same offer, whatever its price is by now."""
        return (self.backend, self.region, self.zone, self.instance_type, self.spot)

    @property
    def sort_key(self) -> tuple[bool, float]:
        """Cheapest first, unknown prices last."""
        return (self.price is None, self.price or 0.0)


def allowed(offer: Offer, req: Requirements) -> bool:
    """Whether the workflow's wishes admit the offer, whatever its machine. What costs nothing (your own machines) is as good
    as spot."""
    if req.regions and offer.region not in req.regions:
        return False
    if req.instance_types and offer.instance_type not in req.instance_types:
        return False
    if req.max_price is not None and (offer.price is None or offer.price > req.max_price):
        return False
    if req.spot_policy is SpotPolicy.SPOT:
        return offer.spot or offer.price == 0.0
    return req.spot_policy is SpotPolicy.AUTO or not offer.spot


def fits(machine: Machine, req: Requirements) -> str | None:
    """None where the machine is enough, else what it lacks, as a sentence part ("needs 8 CPUs, has 2")."""
    if req.cpu is not None and machine.cpu < req.cpu:
        return f"needs {req.cpu} CPUs, has {machine.cpu}"
    if req.memory is not None and machine.memory < req.memory:
        return f"needs {_gib(req.memory)} of memory, has {_gib(machine.memory)}"
    if req.disk is not None and machine.disk is not None and machine.disk < req.disk:
        return f"needs {_gib(req.disk)} of disk, has {_gib(machine.disk)}"
    return _gpu_lack(machine, req.gpu)


def _gpu_lack(machine: Machine, gpu: GpuRequirement | None) -> str | None:
    if gpu is None or gpu.count == 0:
        return None
    good = [g for g in machine.gpus if is_called(g, gpu.name) and (gpu.memory is None or g.memory >= gpu.memory)]
    if len(good) >= gpu.count:
        return None
    wanted = f"{gpu.count} {gpu.name or ''} GPU".replace("  ", " ") + ("s" if gpu.count > 1 else "")
    has = ", ".join(sorted({g.name for g in machine.gpus}))
    return f"needs {wanted}, has {f'{len(machine.gpus)} ({has})' if has else 'none'}"


def is_called(gpu: Gpu, name: str | None) -> bool:
    """Whether people mean that GPU by `name`: some of the words of its own name. A100-80GB is an A100-SXM4-80GB, rtx4090
    an RTX 4090, but an A10 is no A100. None means any."""
    if name is None:
        return True
    words, asked = WORDS.findall(gpu.name.lower()), WORDS.findall(name.lower())
    starts = range(len(words))
    runs = {"".join(words[start:end]) for start in starts for end in range(start + 1, len(words) + 1)}
    return set(asked) <= set(words) or "".join(asked) in runs


def describe(machine: Machine) -> str:
    """For people: `16 CPUs, 125.9 GiB, 1 × H200 (140 GiB)`."""
    text = f"{machine.cpu} CPU{'' if machine.cpu == 1 else 's'}, {_gib(machine.memory)}"
    if machine.gpus:
        text += f", {len(machine.gpus)} × {machine.gpus[0].name} ({machine.gpus[0].memory / 2**30:.0f} GiB)"
    return text


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"

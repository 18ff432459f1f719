"""What a cloud offers now for a job's requirements, cheapest first. What its regions have, and for how much, each backend reads."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from dstack_cloud.backends.base import Finding
from dstack_cloud.domain.resources import Gpu, Machine, Offer, Requirements, SpotPolicy, allowed, fits, is_called
from dstack_cloud.errors import BackendError, InvalidConfiguration

log = logging.getLogger(__name__)

HOUR = 3600.0
DAY = 24 * HOUR
# so many spot offers at most, and so many on demand: who was refused all of them has learnt enough
MOST = 40
# less is too little for Docker and the runner beside a job that doesn't say what it needs
LEAST_MEMORY = 2 * 2**30 - 2**27


@dataclass(frozen=True)
class InstanceType:
    """`spot` and `on_demand`: how it can be had. `usual` False: only who names it gets it (bare metal, an old generation)."""

    name: str
    machine: Machine
    spot: bool
    on_demand: bool
    usual: bool = True

    @property
    def size(self) -> tuple[int, int, int]:
        return len(self.machine.gpus), self.machine.cpu, self.machine.memory


def machine(size: Mapping[str, Any], gpus: Iterable[tuple[str, int]]) -> Machine:
    """`size` is what a catalogue kept of a type: {"cpu", "memory" (bytes)}; `gpus` are (name, bytes of memory), one for each."""
    has = tuple(Gpu(name=name, memory=memory) for name, memory in gpus)
    return Machine(cpu=size["cpu"], memory=size["memory"], gpus=has)


class Candidate(NamedTuple):
    """An offer before it is one: there are thousands, and a few are taken. Their order is that of the fields: cheapest first,
    and where no price is known, the smallest. `price` is USD per hour, 0 where it is `unknown`."""

    unknown: bool
    price: float
    size: tuple[int, int, int]
    name: str
    region: str
    zone: str
    spot: bool


def candidate(kind: InstanceType, region: str, zone: str, *, spot: bool, price: float | None) -> Candidate:
    """`price` None: no price list tells it."""
    return Candidate(price is None, price or 0.0, kind.size, kind.name, region, zone, spot)


class Region(Protocol):
    """What is known of one region. Types and price lists change rarely, spot prices within minutes: each has a Shelf of its own."""

    @property
    def name(self) -> str: ...

    @property
    def known(self) -> bool:
        """Whether all of it was read once, however old it is."""
        ...

    @property
    def read_at(self) -> float | None:
        """When the oldest of its prices was read, UTC seconds; None: not yet."""
        ...

    def load(self) -> None:
        """Fetches side by side what is needed and isn't known. Raises BackendError."""
        ...

    def ages(self) -> str:
        """How old its prices are, for people (see `told_age`)."""
        ...

    def types(self) -> Mapping[str, InstanceType]: ...

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterable[Candidate]:
        """Of the types that are named, in these zones. `kinds`: True for spot, False for on demand."""
        ...


class Market:
    """Everything that the regions of a project offer. Threads share it."""

    def __init__(
        self, name: str, title: str, regions: Callable[[], Sequence[str]], region: Callable[[str], Region]
    ) -> None:
        """`name` is the backend's, `title` the cloud's for people. `regions` tells those of the project; `region` makes one."""
        self._name, self._title = name, title
        self._names, self._make = regions, region
        self._regions: dict[str, Region] = {}

    def find(self, requirements: Requirements, zones: Callable[[str], Collection[str]]) -> list[Offer]:
        """`zones` tells where machines can be put in a region. Raises InvalidConfiguration with the reason where nothing
        fits, and what a region raises where none can be read."""
        places = self._load(self._wanted(requirements), zones)
        chosen = {region.name: _suitable(region.types(), requirements) for region, _ in places}
        if not any(chosen.values()):
            types = {name: each for region, _ in places for name, each in region.types().items()}
            raise self._lack(_closest(types, requirements), "ask for less, or widen `regions` or `instance_types`")
        kinds = _kinds(requirements.spot_policy)
        found = [one for region, there in places for one in region.candidates(chosen[region.name], there, kinds)]
        taken = [one for kind in kinds for one in _cheapest(found, kind, requirements.max_price)]
        if not taken:
            raise self._lack(_too_much(found, requirements), "widen `max_price`, `spot_policy` or `regions`")
        types_of = {region.name: region.types() for region, _ in places}
        offers = [self._offer(one, types_of[one.region][one.name].machine) for one in taken]
        return sorted((one for one in offers if allowed(one, requirements)), key=lambda offer: offer.sort_key)

    def ages(self) -> dict[str, str]:
        """{region: how old its prices are, for people}; what was never read isn't there."""
        return {name: region.ages() for name, region in self._regions.items() if region.known}

    def findings(self) -> list[Finding]:
        """The same, for `dstack config check`."""
        return [Finding(True, f"{region}: prices {age}") for region, age in self.ages().items()]

    def read_at(self) -> float | None:
        """When the oldest price was read, UTC seconds; None: none yet."""
        return min((at for region in self._regions.values() if (at := region.read_at) is not None), default=None)

    def _wanted(self, requirements: Requirements) -> list[str]:
        known = self._names()
        wanted = [name for name in known if not requirements.regions or name in requirements.regions]
        if not wanted:
            raise self._lack(
                f"needs one of the regions {', '.join(requirements.regions)}, the project has {', '.join(known)}",
                f"add the region to `regions` in the project's `{self._name}` settings",
            )
        return wanted

    def _load(self, names: list[str], zones: Callable[[str], Collection[str]]) -> list[tuple[Region, Collection[str]]]:
        """The regions that can be used. One that can't doesn't spoil the others."""
        for name in names:
            if name not in self._regions:
                self._regions[name] = self._make(name)
        regions = [self._regions[name] for name in names]
        if len(regions) == 1:
            read = [_read(regions[0], zones)]
        else:
            with ThreadPoolExecutor(len(regions)) as pool:
                read = list(pool.map(lambda region: _read(region, zones), regions))
        usable = [one for one in read if not isinstance(one, BackendError)]
        for one in read:
            if isinstance(one, BackendError) and not usable:
                raise one
        return usable

    def _offer(self, one: Candidate, machine: Machine) -> Offer:
        return Offer(
            backend=self._name,
            region=one.region,
            zone=one.zone,
            instance_type=one.name,
            machine=machine,
            spot=one.spot,
            price=None if one.unknown else one.price,
        )

    def _lack(self, what: str, hint: str) -> InvalidConfiguration:
        return InvalidConfiguration(f"{self._title} doesn't fit: {what}", hint)


def told_age(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return "just now"
    return f"{seconds / 60:.0f} min old" if seconds < HOUR else f"{seconds / HOUR:.0f} h old"


def _read(region: Region, zones: Callable[[str], Collection[str]]) -> tuple[Region, Collection[str]] | BackendError:
    try:
        there = zones(region.name)
        if not region.known:
            region.load()
        return region, there
    except BackendError as wrong:
        log.warning("%s is left out: %s", region.name, wrong.summary)
        return wrong


def _suitable(types: Mapping[str, InstanceType], requirements: Requirements) -> set[str]:
    """The types that fit. What is unusual, or has GPUs that nobody asked for, only where it is named."""
    named = requirements.instance_types
    if named:
        return {name for name in named if name in types and not fits(types[name].machine, requirements)}
    return {
        name
        for name, each in types.items()
        if each.usual
        and (requirements.gpu is not None or not each.machine.gpus)
        and (requirements.memory is not None or each.machine.memory >= LEAST_MEMORY)
        and not fits(each.machine, requirements)
    }


def _kinds(policy: SpotPolicy) -> tuple[bool, ...]:
    return (True, False) if policy is SpotPolicy.AUTO else (policy is SpotPolicy.SPOT,)


def _cheapest(found: Iterable[Candidate], spot: bool, top: float | None) -> list[Candidate]:
    return heapq.nsmallest(MOST, _payable(found, spot, top))


def _payable(found: Iterable[Candidate], spot: bool, top: float | None) -> Iterator[Candidate]:
    return (one for one in found if one.spot is spot and (top is None or (not one.unknown and one.price <= top)))


def _closest(types: Mapping[str, InstanceType], requirements: Requirements) -> str:
    """What is lacking, told of the type that comes closest."""
    named = [name for name in requirements.instance_types if name in types]
    if requirements.instance_types and not named:
        return f"needs {', '.join(requirements.instance_types)}, which these regions don't have"
    pool = [types[name] for name in named] or [each for each in types.values() if each.usual]
    if not pool:
        return "needs an instance type, these regions have none that is allowed"
    nearest = max(pool, key=lambda each: (_nearness(each.machine, requirements), each.machine.memory))
    return f"{fits(nearest.machine, requirements) or 'needs another type'} ({nearest.name} comes closest)"


def _nearness(machine: Machine, requirements: Requirements) -> float:
    """How much of each wish is met, added up."""
    gpu = requirements.gpu
    wishes = [
        (machine.cpu, requirements.cpu or 0),
        (machine.memory, requirements.memory or 0),
        (sum(gpu is not None and is_called(one, gpu.name) for one in machine.gpus), gpu.count if gpu else 0),
    ]  # fmt: skip
    return sum(min(1.0, has / wish) for has, wish in wishes if wish)


def _too_much(found: list[Candidate], requirements: Requirements) -> str:
    if not found:
        return f"needs {requirements.spot_policy.value}, and no zone in which machines can be put has such a machine"
    least = min(found)
    if least.unknown:
        return f"needs at most ${requirements.max_price}/h, and no price is known"
    return f"needs at most ${requirements.max_price}/h, the cheapest is ${least.price}/h ({least.name})"

"""What AWS offers now for a job's requirements, cheapest first."""

from __future__ import annotations

import hashlib
import heapq
import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.offers import catalogue
from dstack_cloud.backends.aws.offers.shelf import Shelf
from dstack_cloud.domain.resources import Gpu, Machine, Offer, Requirements, SpotPolicy, allowed, fits, is_called
from dstack_cloud.errors import BackendError, InvalidConfiguration

log = logging.getLogger(__name__)

NAME = "aws"
HOUR = 3600.0
DAY = 24 * HOUR
# so many spot offers at most, and so many on demand: who was refused all of them has learnt enough
MOST = 40
# less is too little for Docker and the runner beside a job that doesn't say what it needs
LEAST_MEMORY = 2 * 2**30 - 2**27


@dataclass(frozen=True)
class InstanceType:
    name: str
    machine: Machine
    spot: bool
    on_demand: bool
    nitro: bool
    metal: bool

    @property
    def size(self) -> tuple[int, int, int]:
        return len(self.machine.gpus), self.machine.cpu, self.machine.memory


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


class Region:
    """What is known of one region. Types and the price list change rarely, spot prices within minutes."""

    def __init__(self, client: AwsClient, name: str, folder: Path) -> None:
        self.name = name
        few = bool(client.config.instance_types)
        self._types = Shelf(
            folder / f"{name}-types.json", lambda: catalogue.types(client, name), fresh=DAY, usable=7 * DAY
        )
        self._zones = Shelf(
            folder / f"{name}-zones.json", lambda: catalogue.zones(client, name), fresh=DAY, usable=7 * DAY
        )
        self.spot = Shelf(
            folder / f"{name}-spot.json",
            lambda: catalogue.spot_prices(client, name, sorted(self._types.get()) if few else []),
            fresh=HOUR / 6,
            usable=HOUR,
        )
        self.on_demand: Shelf[catalogue.Prices] = Shelf(
            folder / f"{name}-on-demand.json",
            lambda: catalogue.on_demand_prices(client, name),
            fresh=DAY,
            usable=30 * DAY,
            otherwise={},
        )
        self._read: tuple[object, dict[str, InstanceType]] = (None, {})

    def load(self) -> None:
        """Fetches side by side what is needed and isn't known."""
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(shelf.get) for shelf in (self._zones, self.spot, self.on_demand)]
            self._types.get()
            for each in waiting:
                each.result()

    @property
    def known(self) -> bool:
        return all(shelf.age is not None for shelf in (self._types, self._zones, self.spot, self.on_demand))

    def types(self) -> dict[str, InstanceType]:
        data = self._types.get()
        if self._read[0] is not data:
            self._read = data, {name: _instance_type(name, each) for name, each in data.items()}
        return self._read[1]

    def candidates(self, names: set[str], zones: Collection[str], kinds: Collection[bool]) -> Iterator[Candidate]:
        """`kinds`: True for spot, False for on demand."""
        types, spot, prices = self.types(), self.spot.get(), self.on_demand.get()
        sizes = {name: types[name].size for name in names}
        for zone, there in self._zones.get().items():
            if zone not in zones:
                continue
            here = names.intersection(there)
            spot_here = spot.get(zone, {}) if True in kinds else {}
            for name in here & spot_here.keys():
                if types[name].spot:
                    yield Candidate(False, spot_here[name], sizes[name], name, self.name, zone, True)
            for name in here if False in kinds else ():
                if types[name].on_demand:
                    price = prices.get(name)
                    yield Candidate(price is None, price or 0.0, sizes[name], name, self.name, zone, False)


class Market:
    """Everything that the regions of a project offer. `folder` keeps what was read. Threads share it."""

    def __init__(self, client: AwsClient, folder: Path) -> None:
        self._client = client
        self.folder = folder
        self._regions: dict[str, Region] = {}

    def find(self, requirements: Requirements, zones: Callable[[str], Collection[str]]) -> list[Offer]:
        """`zones` tells where machines can be put in a region. Raises InvalidConfiguration with the reason where nothing
        fits, and what a region raises where none can be read."""
        regions = self._wanted(requirements)
        places = self._load(regions, zones)
        chosen = {region.name: _suitable(region.types(), requirements) for region, _ in places}
        if not any(chosen.values()):
            types = {name: each for region, _ in places for name, each in region.types().items()}
            raise InvalidConfiguration(
                _lack(types, requirements), "ask for less, or widen `regions` or `instance_types`"
            )
        kinds = _kinds(requirements.spot_policy)
        found = [one for region, there in places for one in region.candidates(chosen[region.name], there, kinds)]
        taken = [one for kind in kinds for one in _cheapest(found, kind, requirements.max_price)]
        if not taken:
            raise InvalidConfiguration(_too_much(found, requirements), "widen `max_price`, `spot_policy` or `regions`")
        machines = {region.name: region.types() for region, _ in places}
        offers = [_offer(one, machines[one.region][one.name].machine) for one in taken]
        return sorted((one for one in offers if allowed(one, requirements)), key=lambda offer: offer.sort_key)

    def ages(self) -> dict[str, str]:
        """{region: how old its prices are, for people}; what was never read isn't there."""
        told = {}
        for name, region in self._regions.items():
            if region.known:
                on_demand = _age(region.on_demand.age) if region.on_demand.get() else "unknown"
                told[name] = f"spot {_age(region.spot.age)}, on demand {on_demand}"
        return told

    def read_at(self) -> float | None:
        """When the oldest price was read, UTC seconds; None: none yet."""
        shelves = [shelf for region in self._regions.values() for shelf in (region.spot, region.on_demand)]
        return min((at for shelf in shelves if (at := shelf.read_at) is not None), default=None)

    def _wanted(self, requirements: Requirements) -> list[str]:
        known = self._client.regions
        wanted = [name for name in known if not requirements.regions or name in requirements.regions]
        if not wanted:
            asked = ", ".join(requirements.regions)
            raise InvalidConfiguration(
                f"AWS doesn't fit: needs one of the regions {asked}, the project has {', '.join(known)}",
                "add the region to `regions` in the project's `aws` settings",
            )
        return wanted

    def _load(self, names: list[str], zones: Callable[[str], Collection[str]]) -> list[tuple[Region, Collection[str]]]:
        """The regions that can be used. One that can't doesn't spoil the others."""
        regions = [self._region(name) for name in names]

        def read(region: Region) -> tuple[Region, Collection[str]] | BackendError:
            try:
                there = zones(region.name)
                if not region.known:
                    region.load()
                return region, there
            except BackendError as wrong:
                log.warning("%s is left out: %s", region.name, wrong.summary)
                return wrong

        if len(regions) == 1:
            read_ones = [read(regions[0])]
        else:
            with ThreadPoolExecutor(len(regions)) as pool:
                read_ones = list(pool.map(read, regions))
        usable = [one for one in read_ones if not isinstance(one, BackendError)]
        for one in read_ones:
            if isinstance(one, BackendError) and not usable:
                raise one
        return usable

    def _region(self, name: str) -> Region:
        config = self._client.config
        if name not in self._regions:
            # what one account and one choice of types sees is not what another does
            whose = json_key(config.profile, config.endpoint, *config.instance_types)
            self._regions[name] = Region(self._client, name, self.folder / whose)
        return self._regions[name]


def json_key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _instance_type(name: str, data: dict[str, object]) -> InstanceType:
    rest = {key: data[key] for key in ("spot", "on_demand", "nitro", "metal")}
    gpus: list[tuple[str, int]] = data["gpus"]  # type: ignore[assignment] # what catalogue.types wrote
    machine = Machine.model_validate(
        {"cpu": data["cpu"], "memory": data["memory"], "gpus": tuple(Gpu(name=gpu, memory=size) for gpu, size in gpus)}
    )
    return InstanceType(name, machine, **{key: bool(value) for key, value in rest.items()})


def _suitable(types: dict[str, InstanceType], requirements: Requirements) -> set[str]:
    """The types that fit. What is unusual (bare metal, from before EC2's Nitro, with GPUs
    that nobody asked for) only where it is named. AWS's own "current generation" leaves out too much: g5, m5."""
    named = requirements.instance_types
    if named:
        return {name for name in named if name in types and not fits(types[name].machine, requirements)}
    return {
        name
        for name, each in types.items()
        if each.nitro
        and not each.metal
        and (requirements.gpu is not None or not each.machine.gpus)
        and (requirements.memory is not None or each.machine.memory >= LEAST_MEMORY)
        and not fits(each.machine, requirements)
    }


def _kinds(policy: SpotPolicy) -> tuple[bool, ...]:
    return (True, False) if policy is SpotPolicy.AUTO else (policy is SpotPolicy.SPOT,)


def _cheapest(found: list[Candidate], spot: bool, top: float | None) -> list[Candidate]:
    payable = (one for one in found if one.spot is spot and (top is None or (not one.unknown and one.price <= top)))
    return heapq.nsmallest(MOST, payable)


def _offer(one: Candidate, machine: Machine) -> Offer:
    return Offer(
        backend=NAME,
        region=one.region,
        zone=one.zone,
        instance_type=one.name,
        machine=machine,
        spot=one.spot,
        price=None if one.unknown else one.price,
    )


def _lack(types: dict[str, InstanceType], requirements: Requirements) -> str:
    """The reason, told of the type that comes closest."""
    named = [name for name in requirements.instance_types if name in types]
    if requirements.instance_types and not named:
        return f"AWS doesn't fit: needs {', '.join(requirements.instance_types)}, which these regions don't have"
    pool = [types[name] for name in named] or [each for each in types.values() if each.nitro]
    if not pool:
        return "AWS doesn't fit: needs an instance type, these regions have none that is allowed"
    nearest = max(pool, key=lambda each: (_nearness(each.machine, requirements), each.machine.memory))
    return (
        f"AWS doesn't fit: {fits(nearest.machine, requirements) or 'needs another type'} ({nearest.name} comes closest)"
    )


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
        return f"AWS doesn't fit: needs {requirements.spot_policy.value}, and no zone with a subnet has such a machine"
    least = min(found)
    if least.unknown:
        return f"AWS doesn't fit: needs at most ${requirements.max_price}/h, and no price is known"
    return (
        f"AWS doesn't fit: needs at most ${requirements.max_price}/h, the cheapest is ${least.price}/h ({least.name})"
    )


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return (
        "just now"
        if seconds < 60
        else f"{seconds / 60:.0f} min old"
        if seconds < HOUR
        else f"{seconds / HOUR:.0f} h old"
    )

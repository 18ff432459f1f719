"""The market of a cloud that is only made up: what is chosen, in which order, and what is said where nothing fits."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pytest

from dstack_cloud.backends.base.market import Candidate, InstanceType, Market, candidate, told_age
from dstack_cloud.domain.resources import Gpu, GpuRequirement, Machine, Requirements, SpotPolicy
from dstack_cloud.errors import InvalidConfiguration, Unavailable

GIB = 2**30
ON_DEMAND = {"small": 0.1, "large": 0.4, "gpu": 1.0, "metal": 5.0}
TYPES = {
    "tiny": InstanceType("tiny", Machine(cpu=1, memory=GIB), spot=True, on_demand=True),
    "small": InstanceType("small", Machine(cpu=2, memory=4 * GIB), spot=True, on_demand=True),
    "large": InstanceType("large", Machine(cpu=8, memory=32 * GIB), spot=False, on_demand=True),
    "unpriced": InstanceType("unpriced", Machine(cpu=4, memory=8 * GIB), spot=False, on_demand=True),
    "gpu": InstanceType("gpu", Machine(cpu=8, memory=32 * GIB, gpus=(Gpu(name="T4", memory=16 * GIB),)), True, True),
    "metal": InstanceType("metal", Machine(cpu=96, memory=384 * GIB), spot=False, on_demand=True, usual=False),
}


@dataclass
class MadeUp:
    """Satisfies `market.Region`: two zones, spot at half the price in the second."""

    name: str
    broken: bool = False
    known: bool = False
    read_at: float | None = 1.0

    def load(self) -> None:
        if self.broken:
            raise Unavailable(f"{self.name} doesn't answer")
        self.known = True

    def ages(self) -> str:
        return told_age(5400)

    def types(self) -> Mapping[str, InstanceType]:
        return TYPES

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        for name in names:
            price = ON_DEMAND.get(name)
            for zone in zones if False in kinds else ():
                yield candidate(TYPES[name], self.name, zone, spot=False, price=price)
            if True in kinds and TYPES[name].spot:
                yield candidate(TYPES[name], self.name, "b", spot=True, price=price and price / 2)


def market(*broken: str) -> Market:
    return Market("made-up", "Made Up", lambda: ("west", "east"), lambda name: MadeUp(name, name in broken))


def find(requirements: Requirements, *broken: str) -> list[tuple[str, bool, float | None]]:
    found = market(*broken).find(requirements, lambda region: ("a", "b"))
    assert {offer.backend for offer in found} == {"made-up"}
    return list(dict.fromkeys((offer.instance_type, offer.spot, offer.price) for offer in found))


def test_cheapest_first_and_what_has_no_price_last() -> None:
    assert find(Requirements()) == [("small", False, 0.1), ("large", False, 0.4), ("unpriced", False, None)]


def test_spot_and_on_demand_where_either_will_do() -> None:
    found = find(Requirements(spot_policy=SpotPolicy.AUTO, cpu=1))
    assert found[:2] == [("small", True, 0.05), ("small", False, 0.1)]


def test_gpus_and_what_is_unusual_only_for_who_asks() -> None:
    assert find(Requirements(gpu=GpuRequirement(name="t4"))) == [("gpu", False, 1.0)]
    assert find(Requirements(instance_types=("metal", "nothing"))) == [("metal", False, 5.0)]


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (Requirements(cpu=16), "Made Up doesn't fit: needs 16 CPUs, has 8 (large comes closest)"),
        (Requirements(regions=("north",)), "needs one of the regions north, the project has west, east"),
        (Requirements(instance_types=("huge",)), "needs huge, which these regions don't have"),
        (Requirements(max_price=0.01), "needs at most $0.01/h, the cheapest is $0.1/h (small)"),
        (Requirements(cpu=4, max_price=0.01, memory=8 * GIB, instance_types=("unpriced",)), "no price is known"),
    ],
)
def test_what_can_not_fit_is_refused_with_the_reason(requirements: Requirements, reason: str) -> None:
    with pytest.raises(InvalidConfiguration, match=re.escape(reason)):
        find(requirements)


def test_a_region_that_fails_is_left_out() -> None:
    found = market("west").find(Requirements(), lambda region: ("a",))
    assert {offer.region for offer in found} == {"east"}
    with pytest.raises(Unavailable):
        find(Requirements(), "west", "east")


def test_ages_are_those_of_what_was_read() -> None:
    made = market()
    assert (made.ages(), made.read_at()) == ({}, None)
    made.find(Requirements(regions=("west",)), lambda region: ("a",))
    assert (made.ages(), made.read_at()) == ({"west": "2 h old"}, 1.0)
    assert [told_age(seconds) for seconds in (None, 5, 600)] == ["unknown", "just now", "10 min old"]

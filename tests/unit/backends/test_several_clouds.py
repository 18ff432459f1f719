"""Several backends asked for the same: as one list of offers."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from dstack_cloud.backends.base import offers_of_all
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import Unavailable
from tests.fakes.simulation import Chance, SimBackend, an_offer

QUIET = Chance(random.Random(1))


def cloud(name: str, *prices: float | None) -> SimBackend:
    offers = [an_offer(f"{name}-{n}", price, backend=name) for n, price in enumerate(prices)]
    return SimBackend(QUIET, name=name, catalogue=offers)


@dataclass
class Slow(SimBackend):
    """Answers when all of them were asked."""

    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def offers(self, requirements: Requirements) -> list[Offer]:
        self.together.wait(30)
        return self.catalogue


class Closed(SimBackend):
    def offers(self, requirements: Requirements) -> list[Offer]:
        raise Unavailable("no answer")


def test_the_cheapest_of_all_comes_first_and_unknown_prices_last() -> None:
    offers, refusals = offers_of_all(
        [cloud("a", 3.0, None), cloud("b", 1.0, 4.0), cloud("c", None, 2.0)], Requirements()
    )
    assert [offer.price for offer in offers] == [1.0, 2.0, 3.0, 4.0, None, None]
    assert refusals == {}


def test_one_that_has_nothing_does_not_spoil_the_others() -> None:
    offers, refusals = offers_of_all([Closed(QUIET, name="a"), cloud("b", 1.0)], Requirements())
    assert ([offer.backend for offer in offers], refusals["a"].summary) == (["b"], "no answer")
    assert offers_of_all([], Requirements()) == ([], {})


def test_they_are_asked_side_by_side() -> None:
    barrier = threading.Barrier(3)
    offers, _ = offers_of_all([Slow(QUIET, name=name, together=barrier) for name in "abc"], Requirements())
    assert len(offers) == 12


def test_what_costs_too_much_or_an_unknown_amount_is_left_out_where_there_is_a_limit() -> None:
    offers, _ = offers_of_all([cloud("a", 3.0, None), cloud("b", 1.0)], Requirements(max_price=2.0))
    assert [offer.price for offer in offers] == [1.0]

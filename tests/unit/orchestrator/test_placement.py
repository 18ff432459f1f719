"""Which offer is tried next, and what is said of those that were refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.resources import Gpu, Machine, Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus
from dstack_cloud.orchestrator import placement


def offer(
    price: float | None = 1.0, zone: str = "r1a", kind: str = "t1", *, cpu: int = 2, gpu: str = "", **more: object
) -> Offer:
    machine = Machine(cpu=cpu, memory=2**30, gpus=(Gpu(name=gpu, memory=2**34),) if gpu else ())
    base = Offer(backend="a", region=zone[:2], zone=zone, instance_type=kind, machine=machine, price=price)
    return base.model_copy(update=more)


def refused(an_offer: Offer, wrong: str = "NoCapacity: none left", **changes: object) -> Instance:
    base = Instance("i", "main", "shady-1.train", "shady-1", 1, an_offer, InstanceStatus.REFUSED, wrong=wrong)
    return replace(base, **changes)  # type: ignore[arg-type]


def job(retry: int | None = None, **changes: object) -> Job:
    spec = JobSpec(workflow="train", provider="bash", retry_seconds=retry)
    base = Job("shady-1.train", "run", "main", "shady-1", "train", spec, submitted_at=100.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_cheapest_comes_first_and_unknown_prices_last() -> None:
    offers = [offer(None), offer(2.0, spot=True), offer(1.0)]
    assert placement.next_offer(offers, []) == offers[2]
    assert placement.next_offer(offers[:2], []) == offers[1]


def test_no_capacity_closes_that_type_in_that_zone() -> None:
    offers = [offer(1.0), offer(1.1, kind="t2"), offer(1.2, "r1b")]
    assert placement.next_offer(offers, [refused(offer(0.9))]) == offers[1]
    assert placement.next_offer(offers, [refused(each) for each in offers[:2]]) == offers[2]


def test_zone_then_region_then_type_then_on_demand() -> None:
    order = [
        offer(0.1, spot=True),
        offer(0.2, "r1b", spot=True),
        offer(0.3, "r2a", spot=True),
        offer(0.4, kind="t2", spot=True),
    ]
    order.append(offer(1.0))
    tried: list[Instance] = []
    for expected in order:
        assert placement.next_offer(order[::-1], tried) == expected
        tried.append(refused(expected))
    assert placement.next_offer(order, tried) is None


def test_a_quota_closes_what_needs_as_much_of_it_there() -> None:
    said = [refused(offer(cpu=8, spot=True), "QuotaExceeded: 4 of 4")]
    closed = [offer(cpu=8, kind="x", spot=True), offer(zone="r1b", cpu=64, spot=True)]
    left = [
        offer(cpu=8), offer(zone="r2a", cpu=8, spot=True), offer(cpu=4, kind="x", spot=True), offer(cpu=8, kind="g", gpu="T4", spot=True)
    ]  # fmt: skip
    assert placement.next_offer(closed, said) is None
    assert all(placement.next_offer([each], said) == each for each in left)


def test_a_familys_quota_closes_the_type_in_all_zones_of_the_region() -> None:
    said = [refused(offer(kind="v5"), "QuotaExceeded: 0 of 0", scope="type")]
    assert placement.next_offer([offer(zone="r1b", kind="v5")], said) is None
    left = [offer(kind="v4"), offer(zone="r2a", kind="v5"), offer(kind="v5", spot=True)]
    assert all(placement.next_offer([each], said) == each for each in left)


def test_a_missing_permission_closes_the_region_and_then_the_backend() -> None:
    said = [refused(offer(), "NotAuthorized: no")]
    assert placement.next_offer([offer(kind="x", zone="r1b")], said) is None
    assert placement.next_offer([offer(zone="r2a")], said) is not None
    said.append(refused(offer(zone="r2a"), "NotAuthorized: no"))
    assert placement.next_offer([offer(zone="r3a")], said) is None
    assert placement.next_offer([offer(zone="r3a", backend="b")], said) is not None


@pytest.mark.parametrize("code", ["NotAuthorized", "InvalidConfiguration"])
def test_regions_that_are_not_enabled_leave_the_others_open(code: str) -> None:
    said = [refused(offer(zone=zone), f"{code}: not there", scope="region") for zone in ("r1a", "r2a", "r3a")]
    assert placement.next_offer([offer(zone="r4a")], said) is not None
    assert placement.next_offer([offer(zone="r3b", kind="x")], said) is None


def test_a_wrong_configuration_closes_the_backend() -> None:
    said = [refused(offer(), "InvalidConfiguration: no such image")]
    assert placement.next_offer([offer(zone="r2a")], said) is None


def test_a_region_without_a_clear_answer_is_left_for_this_round() -> None:
    said = [refused(offer(), "Unavailable: no answer")]
    assert placement.next_offer([offer(kind="x"), offer(9.0, "r2a")], said) == offer(9.0, "r2a")


def test_the_place_that_took_a_machine_back_comes_later_but_not_at_any_price() -> None:
    burnt = placement.burnt([refused(offer(1.0), "", ending=Ending.INTERRUPTED)])
    assert placement.next_offer([offer(1.0), offer(1.4, "r1b")], [], burnt) == offer(1.4, "r1b")
    assert placement.next_offer([offer(1.0), offer(1.6, "r1b")], [], burnt) == offer(1.0)
    assert placement.next_offer([offer(0.0), offer(0.0, "r1b")], [], burnt) == offer(0.0, "r1b")
    assert placement.next_offer([offer(1.0)], [], burnt) == offer(1.0)


def test_the_final_message_counts_the_refusals() -> None:
    tried = [refused(offer(kind=f"t{n}")) for n in range(8)]
    tried += [refused(offer(), "QuotaExceeded: 0 of 0")] * 2
    tried.append(refused(offer(zone="eu-west-3a", region="eu-west-3"), "NotAuthorized: OptInRequired"))
    counted = "11 offers tried: 8 no capacity, 2 quota, 1 not authorized in eu-west-3; last: OptInRequired"
    assert placement.no_offer_message(tried) == counted
    assert placement.no_offer_message(tried, 3).startswith("11 offers tried, 4 times: 8 no capacity")
    assert placement.no_offer_message(tried[:1]) == "none left"
    assert "no offer fits" in placement.no_offer_message([])


def test_how_long_is_looked_for_a_machine() -> None:
    assert placement.search_until(job()) is None
    assert placement.search_until(job(60)) == 160.0
    assert placement.search_until(job(searching_since=500.0)) == 500.0 + placement.RESUME_SECONDS
    assert placement.search_until(job(60, searching_since=500.0)) == 560.0


def test_pauses_grow_and_are_not_the_same_for_all() -> None:
    pauses = [placement.pause(job(round=n)) for n in range(20)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 7 and pauses[-1] <= placement.LONGEST_PAUSE * 1.2
    assert len({placement.pause(job(id=f"shady-{n}.train")) for n in range(50)}) > 40


def test_what_a_waiting_job_says() -> None:
    text = placement.waiting_message([refused(offer())], 3600.0)
    assert text == "1 offer tried: 1 no capacity; waiting to try again, until 01:00 UTC"
    assert placement.refused_message(refused(offer(spot=True))) == (
        "no capacity for t1 on a r1a (spot); trying the next offer"
    )

"""Offers, machines and findings over the HTTP API."""

from __future__ import annotations

from typing import Any

from dstack_cloud.domain.resources import Machine, Offer
from dstack_cloud.domain.runs import Instance
from tests.fakes.simulation import an_offer
from tests.unit.server.site import Site

PROJECT = "/api/projects/main"
REQUEST: dict[str, Any] = {"overrides": {}, "cpu": None, "memory": "", "disk": "", "regions": []}


def test_offers_cheapest_first(site: Site) -> None:
    found = site.ask("POST", f"{PROJECT}/offers", REQUEST).json()
    assert [offer["price"] for offer in found["offers"]] == [0.0, 1.0, 2.0, 3.0]
    cheap = site.ask("POST", f"{PROJECT}/offers", {**REQUEST, "overrides": {"max_price": 1.5}}).json()
    assert len(cheap["offers"]) == 2
    assert (found["refusals"], found["priced_at"]) == ([], {})


def test_a_price_that_is_not_known_is_null_and_comes_last(site: Site) -> None:
    site.backend.catalogue.insert(0, an_offer("unknown", None))
    found = site.ask("POST", f"{PROJECT}/offers", REQUEST).json()["offers"]
    assert [offer["price"] for offer in found] == [0.0, 1.0, 2.0, 3.0, None]
    assert {offer["currency"] for offer in found} == {"USD"}


def test_offers_of_what_is_no_size_or_backend(site: Site) -> None:
    answer = site.ask("POST", f"{PROJECT}/offers", {**REQUEST, "memory": "3"})
    assert (answer.status, answer.json()["summary"]) == (400, "the size `3` has no unit")
    answer = site.ask("POST", f"{PROJECT}/offers", {**REQUEST, "overrides": {"backends": ["nope"]}})
    assert (answer.status, answer.json()["hint"]) == (400, "this version has: sim")


def test_a_store_that_fails_is_a_finding(site: Site) -> None:
    assert all(f["ok"] for f in site.ask("GET", f"{PROJECT}/findings").json())
    site.store.broken = {"check"}
    finding = site.ask("GET", f"{PROJECT}/findings").json()[-1]
    assert (finding["subject"], finding["ok"]) == ("store", False)


def test_machines_are_listed_while_they_may_cost_money(site: Site) -> None:
    assert site.ask("GET", f"{PROJECT}/instances").json() == []
    run = site.submit()
    offer = Offer(backend="sim", region="r", instance_type="t", machine=Machine(cpu=1, memory=1), price=2.0)
    row = Instance(id="a-1", project="main", job_id=run["jobs"][0]["id"], run_name=run["name"], attempt=1, offer=offer)
    site.database.instances.add(row)
    [machine] = site.ask("GET", f"{PROJECT}/instances").json()
    assert (machine["run"], machine["status"]) == (run["name"], "requested")
    assert (machine["price"], machine["currency"]) == (2.0, "USD")


def test_a_dash_is_the_project_in_use(site: Site) -> None:
    run = site.submit()["name"]
    assert site.ask("GET", f"/api/projects/-/runs/{run}").json()["project"] == "main"
    assert site.ask("GET", "/api/projects/-x/runs").status == 404


def test_who_asks_for_a_project_that_is_not_there(site: Site) -> None:
    for path in ("instances", "instances?orphans=1", "runners", "findings"):
        assert site.ask("GET", f"/api/projects/none/{path}").status == 404
    assert (
        site.ask("GET", f"{PROJECT}/instances?orphans=1").json() == site.ask("GET", f"{PROJECT}/runners").json() == []
    )

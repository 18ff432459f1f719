"""offers, instances, runners, config check."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def offer(price: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "backend": "aws", "region": "eu-west-1", "zone": "eu-west-1a", "instance_type": "g5.xlarge",
        "resources": "4 CPUs, 16.0 GiB, 1 × A10G (24 GiB)", "spot": True, "price": price, "currency": "USD", **changes,
    }  # fmt: skip


def machine(**changes: Any) -> dict[str, Any]:
    return {
        "id": "shady-1-abc", "ref": "eu-west-1/i-1", "backend": "aws", "region": "eu-west-1", "zone": "eu-west-1a",
        "instance_type": "g5.xlarge", "spot": True, "price": 0.5, "status": "busy", "run": "shady-1",
        "job": "shady-1.train", "created_at": time.time() - 120, "cost": 0.02, "currency": "USD", **changes,
    }  # fmt: skip


def test_offers_with_the_age_of_their_prices(server: Backstage, dstack: Call) -> None:
    server.answers["POST /offers"] = {
        "offers": [offer(0.301), offer(None, spot=False)],
        "refusals": [{"backend": "gcp", "summary": "no login", "hint": "log in"}],
        "priced_at": {"aws": time.time() - 180},
        "price_lists": {"aws": "AWS's price list"},
    }
    code, out, err = dstack("offers", "--gpu", "A10G", "--memory", "16GB", "--spot")
    assert code == 0
    assert out.splitlines()[0].split() == ["BACKEND", "REGION", "ZONE", "TYPE", "RESOURCES", "KIND", "PRICE"]
    assert "spot  $0.30/h" in " ".join(out.split("\n")[1].split()).replace("spot $", "spot  $")
    assert out.splitlines()[2].endswith("unknown")
    assert out.splitlines()[-1] == "prices of aws: AWS's price list, read 3 min ago, in US dollars"
    assert err == "gcp: no login (log in)\n"
    [asked] = server.bodies("POST /offers")
    assert (asked["overrides"], asked["memory"]) == ({"spot_policy": "spot", "gpu": "A10G"}, "16GB")


def test_a_price_list_that_could_not_be_read_is_told(server: Backstage, dstack: Call) -> None:
    server.answers["POST /offers"] = {
        "offers": [offer(None)],
        "refusals": [],
        "priced_at": {},
        "price_lists": {"aws": "AWS's price list", "gcp": "Google's catalog"},
    }
    assert dstack("offers").out.splitlines()[-1] == "prices of aws: AWS's price list, couldn't be read"
    told = json.loads(dstack("offers", "--json").out)["offers"][0]
    assert (told["price"], told["currency"]) == (None, "USD")


def test_only_the_cheapest_offers_unless_all_are_asked_for(server: Backstage, dstack: Call) -> None:
    server.answers["POST /offers"] = {
        "offers": [offer(float(n)) for n in range(30)],
        "refusals": [],
        "priced_at": {},
        "price_lists": {},
    }
    assert dstack("offers").out.splitlines()[-1] == "and 10 more (-a shows all)"
    assert len(dstack("offers", "-a").out.splitlines()) == 31
    assert len(json.loads(dstack("offers", "--json").out)["offers"]) == 30


def test_nothing_fits(server: Backstage, dstack: Call) -> None:
    server.answers["POST /offers"] = {"offers": [], "refusals": [], "priced_at": {}, "price_lists": {}}
    assert dstack("offers") == (1, "", "nothing fits: ask for less, or configure another backend\n")


def test_instances(server: Backstage, dstack: Call) -> None:
    server.answers["GET /instances"] = [machine()]
    out = dstack("instances").out
    for word in ("shady-1", "eu-west-1a", "g5.xlarge spot", "busy", "2 min ago", "$0.50/h", "$0.02", "eu-west-1/i-1"):
        assert word in out
    server.answers["GET /instances"] = []
    assert dstack("instances") == (0, "", "no machines\n")
    assert dstack("instances", "--orphans") == (0, "", "no orphans\n")
    assert server.requests[-1].query == {"orphans": "1"}


def test_runners_are_ones_own_and_those_in_use(server: Backstage, dstack: Call) -> None:
    own = {
        "backend": "ssh",
        "name": "big",
        "resources": "8 CPUs, 64.0 GiB",
        "slots": 2,
        "busy": ["a-1.x"],
        "problem": "",
    }
    server.answers["GET /runners"] = [own, {**own, "name": "off", "busy": [], "resources": "", "problem": "no answer"}]
    server.answers["GET /instances"] = [machine(), machine(backend="ssh", instance_type="big")]
    lines = [" ".join(line.split()) for line in dstack("runners").out.splitlines()]
    assert lines[1] == "big ssh 8 CPUs, 64.0 GiB 1 of 2 jobs a-1.x"
    assert lines[2] == "off ssh ? 0 of 2 jobs no answer"
    assert [line for line in lines if "g5.xlarge" in line]
    assert len(lines) == 6


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_config_check(server: Backstage, dstack: Call, ok: bool, code: int) -> None:
    good = {"subject": "aws", "ok": True, "text": "logged in", "fix": ""}
    bad = {"subject": "store", "ok": ok, "text": "bucket b", "fix": "" if ok else "make it\nor another"}
    server.answers["GET /findings"] = [good, bad]
    answer = dstack("config", "check")
    assert answer.code == code
    assert answer.out.splitlines()[0] == "ok    aws: logged in"
    assert ("FAIL  store: bucket b\n      make it\n      or another" in answer.out) is not ok

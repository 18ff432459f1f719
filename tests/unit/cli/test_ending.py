"""stop, rm, prune: what takes something away asks first."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.unit.cli import views
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def test_stop(server: Backstage, dstack: Call) -> None:
    server.answers |= {"GET /runs/shady-1": views.run(), "POST /runs/shady-1/stop": views.run("stopping")}
    assert dstack("stop", "shady-1", "-y") == (0, "shady-1: stopping\n", "")
    assert dstack("stop", "shady-1", "-a", "-y") == (0, "shady-1: aborting\n", "")
    assert server.bodies("POST /runs/shady-1/stop") == [{"abort": False}, {"abort": True}]


def test_stop_all_leaves_ended_runs_alone(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = [views.run("done")]
    assert dstack("stop", "--all", "-y").out == "nothing runs\n"
    server.answers |= {"GET /runs": [views.run()], "POST /runs/shady-1/stop": views.run("stopping")}
    assert dstack("stop", "--all", "-y").out == "shady-1: stopping\n"


def test_stop_of_an_ended_run(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs/shady-1"] = views.run("done")
    assert dstack("stop", "shady-1") == (0, "shady-1 has ended already: done\n", "")


def test_nobody_there_to_answer(server: Backstage, dstack: Call) -> None:
    server.answers |= {"GET /runs/shady-1": views.run(), "GET /runs/shady-1/artifacts": []}
    code, out, err = dstack("stop", "shady-1")
    assert (code, out) == (2, "")
    assert err == "error: nobody is there to answer: Stop shady-1?\nhint: -y answers with yes\n"
    assert dstack("rm", "shady-1").code == 2
    assert {request.method for request in server.requests} == {"GET"}


def test_rm(server: Backstage, dstack: Call) -> None:
    server.answers |= {"GET /runs/shady-1": views.run("done"), "GET /runs/shady-1/artifacts": []}
    server.answers["DELETE /runs/shady-1"] = {}
    assert dstack("rm", "shady-1", "-y") == (0, "removed shady-1\n", "")


def caches(*ages: float) -> dict[str, object]:
    entries = [{"workflow": "train", "place": "store", "size": 2048, "modified_at": time.time() - age} for age in ages]
    return {"entries": entries, "bytes": 2048 * len(entries)}


def test_prune_shows_what_goes(server: Backstage, dstack: Call) -> None:
    server.answers |= {"GET /cache": caches(90), "DELETE /cache": caches(90)}
    code, out, _ = dstack("prune", "cache", "train", "-y")
    assert (code, out.splitlines()) == (
        0,
        ["WORKFLOW  PLACE     SIZE  SAVED", "train     store  2.0 KiB  1 min ago", "freed 2.0 KiB"],
    )
    assert server.requests[-1].query == {"workflow": "train"}


def test_prune_of_old_ones_counts_only_those(server: Backstage, dstack: Call) -> None:
    server.answers |= {"GET /cache": caches(60, 8000), "DELETE /cache": caches(8000)}
    assert len(dstack("prune", "cache", "--all", "--older-than", "2h", "-y").out.splitlines()) == 3
    before = float(server.requests[-1].query["older_than"])
    assert abs(time.time() - 7200 - before) < 60
    assert json.loads(dstack("prune", "cache", "--all", "-y", "--json").out)["bytes"] == 2048


def test_prune_of_nothing(server: Backstage, dstack: Call) -> None:
    server.answers["GET /cache"] = {"entries": [], "bytes": 0}
    assert dstack("prune", "cache", "train") == (0, "there is nothing to remove\n", "")


@pytest.mark.parametrize("age", ["x", "-1d", "2 days"])
def test_an_age_that_is_none(server: Backstage, dstack: Call, age: str) -> None:
    code, _, err = dstack("prune", "cache", "--all", f"--older-than={age}")
    assert code == 2
    assert err.startswith(f"error: `{age}` is no age\nhint: ")

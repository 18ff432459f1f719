from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dstack_cloud.domain.refusals import OUT_OF_REACH
from tests.unit.cli import views
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_ps(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = [views.run(), views.run("failed", 3)]
    code, out, err = dstack("ps")
    assert (code, err) == (0, "")
    assert lines(out) == [
        "RUN      WORKFLOW  SUBMITTED  STATUS   TAG  MACHINE         COST",
        "shady-1  train     5 min ago  running  -    sandbox/small  $0.25",
        "shady-1  train     5 min ago  failed   -    sandbox/small  $0.25",
        "shady-1: exit code 3",
    ]


def test_ps_says_why_something_waits(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = [views.run("provisioning", message="pulling python:3.11, 40 %")]
    assert lines(dstack("ps").out)[-1] == "shady-1: pulling python:3.11, 40 %"


def test_ps_verbose(server: Backstage, dstack: Call) -> None:
    view = views.run("failed", 3, message="it broke")
    view["jobs"][0]["instances"] = [views.instance(1, "NoCapacity: none left here"), views.instance(2)]
    server.answers["GET /runs"] = [view]
    assert lines(dstack("status", "-v").out) == [
        "shady-1  train  failed  submitted 5 min ago",
        "  args    --lr 0.1",
        "  code    abababababab, 3 files, 2.0 KiB",
        "  cost    $0.25",
        "  job     shady-1.train: failed, attempt 1, ran 3m 05s, exit code 3",
        "          it broke",
        "          port 8000 at http://localhost:8001",
        "          attempt 1: sandbox/small in here, $0.50/h, refused: no capacity",
        "            none left here",
        "          attempt 2: sandbox/small in here, $0.50/h, busy",
    ]


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [("", "terminated", False), ("interrupted", "terminated", False), ("lost", "terminated", True), ("", "busy", True)],
)
def test_out_of_reach_is_told_of_machines_that_should_be_there(
    server: Backstage, dstack: Call, ending: str, status: str, told: bool
) -> None:
    view = views.run("done", 0)
    found = {**views.instance(), "ending": ending, "status": status, "wrong": f"{OUT_OF_REACH} 02:30 UTC"}
    view["jobs"][0]["instances"] = [found]
    server.answers["GET /runs"] = [view]
    assert (f"            {OUT_OF_REACH} 02:30 UTC" in lines(dstack("ps", "-v").out)) is told


def test_ps_without_runs(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = []
    assert dstack("runs") == (0, "", "no runs yet: `dstack run WORKFLOW` starts one\n")


def test_what_ps_asks_for(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = []
    for words in (["-a"], ["-n", "2"], ["--watch"]):
        dstack("ps", *words)
    assert [request.query for request in server.requests] == [{"all": "1"}, {"last": "2"}, {}]


def test_json(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs"] = [views.run()]
    assert json.loads(dstack("ps", "--json").out)[0]["name"] == "shady-1"
    assert json.loads(dstack("jobs", "--json").out)[0]["id"] == "shady-1.train"


def test_jobs(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs/shady-1"] = views.run("failed", 3)
    assert lines(dstack("jobs", "shady-1").out) == [
        "JOB            STATUS  ATTEMPT  EXIT    TIME  MACHINE          PRICE",
        "shady-1.train  failed        1     3  3m 05s  sandbox/small  $0.50/h",
    ]


def test_nothing_is_cut_where_nobody_looks(server: Backstage, dstack: Call) -> None:
    view = views.run()
    view["workflow"] = "a-very-long-name-" * 12
    server.answers["GET /runs"] = [view]
    assert "a-very-long-name-" * 12 in dstack("ps").out


def test_server_status(server: Backstage, dstack: Call) -> None:
    assert lines(dstack("server", "status").out) == [
        "running since 1 hour ago, process 7, version 1",
        "active jobs: 2",
        "state: HOME",
    ]
    assert json.loads(dstack("server", "status", "--json").out)["running"] is True


def test_server_status_and_stop_start_nothing(dstack: Call, folder: object) -> None:
    assert dstack("server", "status").out.startswith("not running (")
    assert json.loads(dstack("server", "status", "--json").out)["running"] is False
    assert dstack("server", "stop") == (0, "it wasn't running\n", "")


def test_schema(server: Backstage, dstack: Call) -> None:
    server.answers["GET /api/schema"] = {"type": "object"}
    assert json.loads(dstack("schema").out) == {"type": "object"}

"""What every answer of the HTTP API has, and what happens to requests that can't be served."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_cloud.version import __version__
from tests.unit.server.site import Site


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/projects/main/runs/none-1", 404, "NotFound"),
        ("GET", "/api/projects/none/runs", 404, "NotFound"),
        ("GET", "/api/projects/main/runs?last=0", 400, "UsageError"),
        ("POST", "/api/projects/main/runs", 400, "UsageError"),
        ("GET", "/api/none", 404, "ServerError"),
        ("PUT", "/api/server", 405, "ServerError"),
        ("PUT", "/api/projects/main/code/short", 400, "UsageError"),
        ("GET", "/api/projects/main/runs/none-1/follow", 404, "NotFound"),
        ("GET", "/api/projects/main/runs/none-1/follow?offsets=x", 400, "UsageError"),
        ("GET", '/api/projects/main/runs/none-1/follow?offsets={"a":1e999}', 400, "UsageError"),
    ],
)
def test_every_refusal_is_an_error_view(site: Site, method: str, path: str, status: int, code: str) -> None:
    answer = site.ask(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["summary"]
    assert answer.headers["x-dstack-version"] == __version__


def test_a_bug_is_an_error_view_too(site: Site) -> None:
    site.app.state.context = None
    answer = site.ask("GET", "/api/projects/main/runs")
    assert (answer.status, answer.json()["code"]) == (500, "ServerError")
    assert "server.log" in answer.json()["hint"]
    assert answer.headers["x-dstack-version"] == __version__


def test_a_run_is_submitted_listed_stopped_and_found(site: Site) -> None:
    name = site.submit()["name"]
    assert [run["name"] for run in site.ask("GET", "/api/projects/main/runs").json()] == [name]
    assert site.ask("GET", "/api/projects/other/runs").json() == []
    stopped = site.ask("POST", f"/api/projects/main/runs/{name}/stop", {"abort": False})
    assert stopped.status == 200
    job = site.database.jobs.get(f"{name}.train")
    assert job is not None
    assert job.stop_request == "stop"
    assert site.ask("DELETE", f"/api/projects/main/runs/{name}").status == 409
    assert site.ask("DELETE", f"/api/projects/main/runs/{name}.train").status == 400


@pytest.mark.parametrize("workflow", ["nope", "train"])
def test_problems_in_a_file_are_listed_one_by_one(site: Site, workflow: str) -> None:
    body: dict[str, Any] = {
        "files": [{"path": "w.yaml", "text": "workflows:\n  - name: train\n    provider: nope\n"}],
        "workflow": workflow, "args": [], "variables": {}, "env": {}, "tag": "", "overrides": {}, "code": None, "local_python": "3.11",
    }  # fmt: skip
    answer = site.ask("POST", "/api/projects/main/plan", body)
    assert (answer.status, answer.json()["code"]) == (400, "ConfigurationError")
    assert answer.json()["problems"][0]["line"] == 3


@pytest.mark.parametrize("given", [{"args": ["\ud800"]}, {"env": {"A": "b\udfff"}}, {"env": {"\ud800": "b"}}])
def test_half_of_a_character_is_refused(site: Site, given: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="has half of a character"):
        site.submit(**given)
    answer = site.ask("POST", "/api/projects/main/secrets", {"name": "KEY", "value": "\ud800"})
    assert (answer.status, answer.json()["code"]) == (400, "UsageError")
    site.submit(env={"A": "\U0001f600", "B": "\\ud800"})


def test_code_that_is_not_in_the_store_is_a_conflict(site: Site) -> None:
    with pytest.raises(AssertionError, match="the code of this run"):
        site.submit(code={"sha256": "ab" * 32, "size": 1, "files": 1})

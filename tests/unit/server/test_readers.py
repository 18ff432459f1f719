"""Readers that go away leave nothing behind: no request, no thread, however silent the job is."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from dstack_cloud.domain.states import JobStatus
from tests.unit.server.site import Site, UnixConnection, wait_until


def open_stream(site: Site, path: str) -> UnixConnection:
    connection = site.connect()
    connection.request("GET", path)
    wait_until(lambda: site.app.state.requests == 1, "the request")
    return connection


def pumps() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_pump" in thread.name]


@pytest.mark.parametrize("path", ["logs?follow=1", "follow"])
def test_a_reader_of_a_job_that_never_starts_may_go(site: Site, path: str) -> None:
    name = site.submit()["name"]
    connection = open_stream(site, f"/api/projects/main/runs/{name}/{path}")
    connection.close()
    wait_until(lambda: site.app.state.requests == 0, "the end of the request")
    wait_until(lambda: not pumps(), "the end of its threads")


def frames(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.read().splitlines()]


def end(site: Site, name: str) -> None:
    """As an orchestrator would: the row first, then whoever waits for it is told."""
    from dataclasses import replace

    job = site.database.jobs.get(f"{name}.train")
    assert job is not None
    site.database.jobs.save(replace(job, status=JobStatus.STOPPED, finished_at=1.0))
    site.context.world.changes.notify()


def test_following_a_run_that_is_stopped_before_it_began(site: Site) -> None:
    name = site.submit()["name"]
    connection = site.connect()
    connection.request("GET", f"/api/projects/main/runs/{name}/follow")
    response = connection.getresponse()
    first = json.loads(response.readline())
    end(site, name)
    last = frames(response)[-1]
    assert (first["run"]["status"], last["run"]["status"]) == ("submitted", "stopped")
    connection.close()


def test_the_log_of_a_job_that_never_began_is_empty(site: Site) -> None:
    name = site.submit()["name"]
    assert site.ask("GET", f"/api/projects/main/runs/{name}/logs").body == b""
    end(site, name)
    assert site.ask("GET", f"/api/projects/main/runs/{name}/logs?follow=1").body == b""


def test_following_ends_when_the_run_is_removed(site: Site) -> None:
    name = site.submit()["name"]
    connection = site.connect()
    connection.request("GET", f"/api/projects/main/runs/{name}/follow")
    response = connection.getresponse()
    response.readline()
    run = site.database.runs.get("main", name)
    assert run is not None
    site.database.runs.delete(run.id)
    site.context.world.changes.notify()
    assert all(frame["type"] != "run" for frame in frames(response))
    connection.close()

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event

from dstack_cloud import errors
from dstack_cloud.domain.jobs import Confidential
from dstack_cloud.domain.names import WORDS
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.services import runs
from dstack_cloud.storage import layout
from tests.unit.services.office import OFFER, Office


def test_what_is_submitted_is_sealed_and_waits_for_the_orchestrator(office: Office) -> None:
    view = office.submit(env={"TOKEN": "s3cret"})
    job = office.job(view["name"])
    assert (view["status"], job.status, view["finished_at"]) == ("submitted", JobStatus.SUBMITTED, None)
    assert b"s3cret" not in job.sealed
    assert office.sealer.open(job.sealed) == Confidential(env={"JOB_ID": job.id, "TOKEN": "s3cret"})
    assert office.database.next_due() is not None


def test_names_differ_over_all_projects(office: Office) -> None:
    """A job's id is made of its run's name, and two projects may share a store."""
    names = [office.submit(project)["name"] for _ in range(len(WORDS)) for project in ("main", "other")]
    assert len(set(names)) == len(names)


def test_simultaneous_submits_get_different_names(office: Office) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = [view["name"] for view in pool.map(lambda n: office.submit(("main", "other")[n % 2]), range(60))]
    assert len(set(names)) == 60


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"workflow": "nope"}, errors.DstackError),
        ({"args": ["--lr"]}, errors.UsageError),
        ({"overrides": {"backends": ["nope"]}}, errors.UsageError),
        ({"code": {"sha256": "ab" * 32, "size": 1, "files": 1}}, errors.Conflict),
    ],
)
def test_a_run_that_cannot_be_leaves_no_row(office: Office, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        office.submit(**changes)
    assert office.database.jobs.unfinished() == []


def test_without_asking_for_more_the_unfinished_runs_are_listed_else_the_last(office: Office) -> None:
    first, second, third = (office.submit()["name"] for _ in range(3))
    office.end(second)
    assert [run["name"] for run in runs.list_runs(office.context, "main", everything=False, last=None)] == [
        third,
        first,
    ]
    office.end(first)
    office.end(third)
    assert [run["name"] for run in runs.list_runs(office.context, "main", everything=False, last=None)] == [third]
    assert len(runs.list_runs(office.context, "main", everything=True, last=None)) == 3
    assert len(runs.list_runs(office.context, "main", everything=False, last=2)) == 2


@pytest.mark.parametrize("everything", [True, False])
def test_a_list_takes_as_many_queries_for_many_runs_as_for_one(office: Office, everything: bool) -> None:
    statements: list[str] = []
    event.listen(office.database._engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    counts = []
    for _ in range(2):
        for _ in range(5):
            office.submit()
        statements.clear()
        runs.list_runs(office.context, "main", everything=everything, last=None)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 4


def test_a_run_is_found_by_its_name_and_by_a_jobs_id(office: Office) -> None:
    name = office.submit()["name"]
    assert runs.find(office.context, "main", name) == runs.find(office.context, "main", f"{name}.train")
    for wrong in ("nope-1", f"{name}.nope"):
        with pytest.raises(errors.NotFound):
            runs.find(office.context, "main", wrong)
    with pytest.raises(errors.NotFound, match="project"):
        runs.find(office.context, "nope", name)


def test_an_abort_overrides_a_stop_and_not_the_other_way_round(office: Office) -> None:
    name = office.submit()["name"]
    for abort, wish in [(False, "stop"), (True, "abort"), (False, "abort")]:
        runs.stop(office.context, "main", name, abort=abort)
        assert office.job(name).stop_request == wish


def test_a_stop_is_not_lost_while_a_step_holds_the_row(office: Office) -> None:
    name = office.submit()["name"]
    (held,) = office.database.jobs.claim("step", now=office.world.clock(), lease=60, limit=1)
    runs.stop(office.context, "main", name, abort=False)
    with pytest.raises(Exception, match="has changed"):
        office.database.jobs.save(held)
    (again,) = office.database.jobs.claim("step", now=office.world.clock(), lease=60, limit=1)
    assert again.stop_request == "stop"


def test_a_finished_run_is_removed_with_its_objects_only(office: Office) -> None:
    name, other = office.submit()["name"], office.submit()["name"]
    machine = office.add_machine(name, InstanceStatus.TERMINATED)
    for key in (
        layout.status(machine.id, 1, "done"),
        layout.run_prefix(name) + "train/x",
        layout.run_prefix(other) + "y",
    ):
        office.store.put(key, b"x")
    with pytest.raises(errors.Conflict, match="still running"):
        runs.remove(office.context, "main", name)
    office.end(name)
    with pytest.raises(errors.UsageError, match="as a whole"):
        runs.remove(office.context, "main", f"{name}.train")
    runs.remove(office.context, "main", name)
    assert [info.key for prefix in ("runs/", "status/") for info in office.store.list(prefix)] == [f"runs/{other}/y"]
    assert office.database.runs.get("main", name) is None


def test_a_run_stays_while_its_machine_is_torn_down(office: Office) -> None:
    name = office.submit()["name"]
    office.end(name)
    office.add_machine(name, InstanceStatus.TERMINATING)
    with pytest.raises(errors.Conflict, match="torn down"):
        runs.remove(office.context, "main", name)


def test_what_a_machine_without_a_known_price_cost_is_unknown_not_nothing(office: Office) -> None:
    name = office.submit()["name"]
    office.add_machine(name, InstanceStatus.TERMINATED, started_at=100.0, terminated_at=110.0)
    offer = OFFER.model_copy(update={"price": None})
    office.add_machine(name, InstanceStatus.TERMINATED, id="y", started_at=110.0, terminated_at=120.0, offer=offer)
    assert runs.list_runs(office.context, "main", everything=True, last=None)[0]["cost"] is None


def test_a_view_adds_up_what_the_machines_cost(office: Office) -> None:
    name = office.submit()["name"]
    office.add_machine(name, InstanceStatus.TERMINATED, started_at=100.0, terminated_at=110.0)
    office.end(name, JobStatus.FAILED)
    view = runs.list_runs(office.context, "main", everything=True, last=None)[0]
    assert (view["cost"], view["status"], view["jobs"][0]["instances"][0]["status"]) == (10.0, "failed", "terminated")
    assert view["finished_at"] is not None

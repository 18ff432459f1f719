"""An upload holds the name of its run from its first byte on, and leaves nothing when it breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.runs import Job
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator import jobs
from dstack_cloud.services import runs, uploads
from tests.unit.runner.rig import tar_of
from tests.unit.services.office import Office

ARCHIVE = tar_of({"data/a": b"1", "data/b": b"2" * 3_000_000})
HALF = 2_000_000


def sent(office: Office, between: Callable[[Job], None]) -> str:
    """The name of the run; `between` is called when half of it has come."""

    def chunks() -> Iterator[bytes]:
        yield ARCHIVE[:HALF]
        between(office.database.jobs.unfinished()[0])
        yield ARCHIVE[HALF:]

    return uploads.put(office.context, "main", "data", "v1", "data", chunks())["name"]


def step(office: Office, job: Job) -> Job:
    """What the orchestrator does with it when it is woken, as at a server's start."""
    fresh = office.database.jobs.get(job.id)
    assert fresh is not None
    jobs.step(office.world, fresh)
    after = office.database.jobs.get(job.id)
    assert after is not None
    return after


def nothing_is_left(office: Office) -> bool:
    left = office.database.runs.recent("main", limit=9), list(office.store.list("runs/")), office.world.receiving
    return not any(left)


def broken(job: Job) -> None:
    raise errors.UsageError(f"the upload of {job.id} broke off")


def test_others_take_other_names_meanwhile_and_no_step_takes_it(office: Office) -> None:
    others: list[str] = []

    def meanwhile(job: Job) -> None:
        assert office.database.next_due() is None
        assert office.database.jobs.claim("x", now=1e12, lease=1, limit=9) == []
        assert step(office, job).status is JobStatus.UPLOADING
        others.append(office.submit()["name"])

    name = sent(office, meanwhile)
    assert others != [name]
    assert office.database.jobs.claim("x", now=1e12, lease=1, limit=9)[0].run_name == others[0]
    found = runs.view(office.context, runs.find(office.context, "main", name)[0])
    assert (found["status"], found["tag"], found["jobs"][0]["attempt"]) == ("done", "v1", 1)
    assert not office.world.receiving


def test_one_that_breaks_off_leaves_nothing(office: Office) -> None:
    with pytest.raises(errors.UsageError, match="broke off"):
        sent(office, broken)
    assert nothing_is_left(office)


def test_one_that_is_stopped_leaves_nothing(office: Office) -> None:
    with pytest.raises(errors.Conflict, match="was stopped"):
        sent(office, lambda job: void(runs.stop(office.context, "main", job.run_name, abort=False)))
    assert nothing_is_left(office)


def void(_: object) -> None:
    return None


def test_it_cannot_be_removed_while_it_comes(office: Office) -> None:
    def removed(job: Job) -> None:
        with pytest.raises(errors.Conflict, match="still running"):
            runs.remove(office.context, "main", job.run_name)

    assert runs.find(office.context, "main", sent(office, removed))


def test_one_of_a_server_that_was_killed_has_failed(office: Office) -> None:
    ended: list[Job] = []

    def killed(job: Job) -> None:
        office.world.receiving.clear()
        ended.append(step(office, job))
        assert list(office.store.list("runs/")) == []

    with pytest.raises(errors.Conflict):
        sent(office, killed)
    assert (ended[0].status, ended[0].next_check_at) == (JobStatus.FAILED, None)
    assert ended[0].message == "the upload broke off"


def test_where_the_store_fails_the_run_stays_to_be_removed(office: Office) -> None:
    def away(job: Job) -> None:
        office.store.kept = {"runs/"}
        broken(job)

    with pytest.raises(errors.UsageError):
        sent(office, away)
    [job] = office.database.jobs.unfinished()
    assert job.next_check_at is not None
    assert step(office, job).status is JobStatus.FAILED
    office.store.kept = set()
    runs.remove(office.context, "main", job.run_name)
    assert nothing_is_left(office)

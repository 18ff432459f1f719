from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from dstack_cloud import errors
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from tests.unit.db.rows import a_job, a_run, an_instance, fill


def test_everything_comes_back_as_it_was(database):
    run = a_run()
    job = a_job(run, status=JobStatus.RUNNING, exit_code=0, started_at=0.1, instance_id="i-1", message="ü 🚂")
    instance = an_instance(job, status=InstanceStatus.BUSY, ref="r", endpoint="unix:/x", deadline=2.5)
    database.runs.add(run)
    database.jobs.add(job)
    database.instances.add(instance)
    assert database.runs.get("main", "shady-1") == run
    assert database.jobs.get(job.id) == job
    assert database.instances.get("i-1") == instance


def test_a_run_without_code_or_arguments(database):
    run = a_run(code=None, args=(), tag="")
    database.runs.add(run)
    database.jobs.add(a_job(run, code=None, sealed=b"", next_check_at=None))
    assert database.runs.get("main", "shady-1") == run
    assert database.jobs.get("shady-1.train") == a_job(run, code=None, sealed=b"", next_check_at=None)


def test_what_is_not_there(database):
    assert database.runs.get("main", "nope") is None
    assert database.jobs.get("nope") is None
    assert database.instances.get("nope") is None
    assert database.jobs.of_runs([]) == database.jobs.of_runs(["nope"]) == database.instances.alive() == []
    database.runs.delete("nope")
    database.jobs.wake("nope", now=1.0)


def test_recent_runs_come_newest_first(database):
    fill(database, *(f"r-{n}" for n in range(5)))
    database.runs.add(a_run("other", project="other"))
    assert [run.name for run in database.runs.recent("main", limit=3)] == ["r-4", "r-3", "r-2"]
    assert [run.name for run in database.runs.recent("other", limit=3)] == ["other"]
    assert database.runs.recent("none", limit=3) == []


def test_names_by_prefix(database):
    fill(database, "shady-1", "shady-10", "shady-2", "shady", "Shady-3", "shadow-1", "shady_4", "shady%5", "ünï-1")
    assert database.runs.names("main", "shady-") == ["shady-1", "shady-10", "shady-2"]
    assert database.runs.names("main", "ü") == ["ünï-1"]
    assert database.runs.names("main", "%") == database.runs.names("other", "shady") == []
    assert len(database.runs.names("main", "")) == 9


def test_a_name_is_taken_once_a_project(database):
    database.runs.add(a_run())
    database.runs.add(a_run(id="x", project="other"))
    with pytest.raises(errors.Conflict, match="shady-1"):
        database.runs.add(a_run(id="y"))


def test_a_transaction_goes_on_after_a_conflict(database):
    database.runs.add(a_run())
    with database.transaction():
        with pytest.raises(errors.Conflict):
            database.runs.add(a_run(id="y"))
        database.runs.add(a_run("shady-2"))
    assert len(database.runs.recent("main", limit=9)) == 2


def test_jobs_of_runs_in_the_order_they_were_added(database):
    run, other = a_run("b"), a_run("a")
    database.runs.add(run)
    database.runs.add(other)
    for job in (a_job(run, "z"), a_job(other, "m"), a_job(run, "a")):
        database.jobs.add(job)
    assert [job.name for job in database.jobs.of_runs([other.id, run.id])] == ["z", "m", "a"]
    assert [job.name for job in database.jobs.of_runs([run.id])] == ["z", "a"]


def test_very_many_ids_at_once(database):
    jobs = fill(database, "a", "b")
    ids = [f"x{n}" for n in range(70_000)]
    assert database.jobs.of_runs([jobs[1].run_id, *ids, jobs[0].run_id]) == [jobs[1], jobs[0]]


def test_unfinished_jobs_and_living_instances(database):
    for status in JobStatus:
        fill(database, str(status), status=status)
    job = database.jobs.get("done.train")
    database.runs.add(a_run("o", project="other"))
    database.jobs.add(a_job(a_run("o", project="other")))
    for status in InstanceStatus:
        database.instances.add(an_instance(job, str(status), status=status))
    assert {str(job.status) for job in database.jobs.unfinished("main")} == {
        str(s) for s in JobStatus if not s.finished
    }
    assert len(database.jobs.unfinished()) == len(database.jobs.unfinished("main")) + 1
    assert [i.id for i in database.instances.alive()] == ["requested", "starting", "busy", "terminating"]
    assert len(database.instances.of_jobs([job.id])) == 6


def test_a_deleted_run_takes_its_jobs_and_instances_along(database):
    first, second = fill(database, "a", "b")
    database.instances.add(an_instance(first, "i-a"))
    database.instances.add(an_instance(second, "i-b"))
    database.runs.delete(first.run_id)
    assert database.runs.get("main", "a") is None
    assert database.jobs.get(first.id) is None
    assert database.instances.get("i-a") is None
    assert database.instances.get("i-b") is not None


def test_a_row_of_a_run_that_is_not_there_is_refused(database):
    with pytest.raises(IntegrityError):
        database.jobs.add(a_job(a_run()))


def test_a_transaction_commits_all_or_nothing(database):
    (job,) = fill(database, "a")
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.instances.add(an_instance(job))
        database.jobs.save(replace(job, message="changed"))
        with database.transaction():
            database.runs.add(a_run("b"))
        assert database.runs.get("main", "b") is not None
        raise ZeroDivisionError
    assert database.jobs.get(job.id) == job
    assert database.instances.get("i-1") is None
    assert database.runs.get("main", "b") is None

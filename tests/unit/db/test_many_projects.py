from __future__ import annotations

import pytest

from dstack_cloud import errors
from tests.unit.db.rows import a_job, a_run, fill


def test_a_jobs_id_is_taken_once_over_all_projects(database):
    fill(database, "shady-1")
    run = a_run(id="x", project="other")
    with pytest.raises(errors.Conflict, match=r"shady-1\.train"), database.transaction():
        database.runs.add(run)
        database.jobs.add(a_job(run))
    assert database.runs.get("other", "shady-1") is None


def test_runs_by_their_ids_come_newest_first(database):
    jobs = fill(database, *(f"r-{n}" for n in range(4)))
    wanted = [jobs[0].run_id, jobs[3].run_id, "nope", jobs[1].run_id]
    assert [run.name for run in database.runs.of_ids(wanted)] == ["r-3", "r-1", "r-0"]
    assert database.runs.of_ids([]) == []

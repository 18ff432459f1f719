from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dstack_cloud.db import open_database
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.states import JobStatus
from tests.unit.db.rows import an_instance, fill


def claim(database, now=100.0, limit=10, lease=60.0, owner="a"):
    return [job.run_name for job in database.jobs.claim(owner, now=now, lease=lease, limit=limit)]


def test_claims_what_is_due_the_longest_due_first(database):
    for name, due in (("c", 30.0), ("a", 10.0), ("never", None), ("later", 200.0), ("b", 20.0)):
        fill(database, name, next_check_at=due)
    assert claim(database, limit=2) == ["a", "b"]
    assert claim(database, limit=0) == []
    assert claim(database) == ["c"]
    assert claim(database) == []
    assert claim(database, now=200.0) == ["a", "b", "c", "later"]


def test_a_lease_keeps_others_away_until_it_runs_out(database):
    fill(database, "a")
    assert claim(database, now=100.0, lease=60.0) == ["a"]
    assert claim(database, now=159.9, owner="b") == []
    assert claim(database, now=160.0, owner="b") == ["a"]


def test_a_save_gives_the_lease_back(database):
    fill(database, "a")
    (job,) = database.jobs.claim("a", now=100.0, lease=60.0, limit=1)
    saved = database.jobs.save(replace(job, status=JobStatus.SUBMITTED, next_check_at=110.0))
    assert (
        saved == replace(job, status=JobStatus.SUBMITTED, next_check_at=110.0, version=1) == database.jobs.get(job.id)
    )
    assert claim(database, now=109.0) == []
    assert claim(database, now=110.0) == ["a"]


def test_a_save_may_keep_the_lease(database):
    fill(database, "a")
    (job,) = database.jobs.claim("a", now=100.0, lease=60.0, limit=1)
    job = database.jobs.save(job, release=False)
    assert claim(database, now=110.0, owner="b") == []
    database.jobs.save(job)
    assert claim(database, now=110.0, owner="b") == ["a"]


def test_an_older_version_is_stale(database):
    (job,) = fill(database, "a")
    newer = database.jobs.save(replace(job, message="new"))
    with pytest.raises(Stale):
        database.jobs.save(replace(job, message="old"))
    assert database.jobs.get(job.id) == newer
    database.runs.delete(job.run_id)
    with pytest.raises(Stale):
        database.jobs.save(newer)


@pytest.mark.parametrize("together", [False, True])
def test_a_stale_save_still_gives_the_lease_back(database, together):
    fill(database, "a")
    (held,) = database.jobs.claim("a", now=100.0, lease=600.0, limit=1)
    database.jobs.save(replace(held, stop_request="stop"), release=False)
    with pytest.raises(Stale):
        if together:
            with database.transaction():
                database.jobs.save(held)
        else:
            database.jobs.save(held)
    assert claim(database) == ["a"]


def test_a_stale_save_leaves_the_lease_of_another_server_alone(url, database):
    other = open_database(url)
    fill(database, "a")
    (late,) = database.jobs.claim("a", now=100.0, lease=10.0, limit=1)
    (job,) = other.jobs.claim("b", now=110.0, lease=60.0, limit=1)
    other.jobs.save(job, release=False)
    with pytest.raises(Stale):
        database.jobs.save(late)
    assert claim(database, now=120.0) == []
    other.close()


def test_wake_makes_a_row_due_without_a_new_version(database):
    (job,) = fill(database, "a", next_check_at=None)
    assert claim(database) == []
    database.jobs.wake(job.id, now=100.0)
    assert database.jobs.claim("a", now=100.0, lease=1.0, limit=1) == [replace(job, next_check_at=100.0)]


@pytest.mark.parametrize("decided", [None, 500.0])
def test_a_wake_while_a_worker_holds_the_row_is_not_lost(database, decided):
    fill(database, "a")
    (job,) = database.jobs.claim("a", now=100.0, lease=60.0, limit=1)
    database.jobs.wake(job.id, now=101.0)
    assert claim(database, now=102.0, owner="b") == []
    job = database.jobs.save(replace(job, next_check_at=decided), release=False)
    saved = database.jobs.save(replace(job, next_check_at=decided))
    assert saved.next_check_at == 101.0
    assert claim(database, now=102.0, owner="b") == ["a"]


def test_a_wake_before_the_claim_is_served_by_it(database):
    fill(database, "a")
    database.jobs.wake("a.train", now=99.0)
    (job,) = database.jobs.claim("a", now=100.0, lease=60.0, limit=1)
    assert database.jobs.save(replace(job, next_check_at=None)).next_check_at is None
    assert claim(database, now=1000.0) == []


def test_a_wake_between_somebody_elses_read_and_save_is_not_lost(database):
    (job,) = fill(database, "a", next_check_at=None)
    database.jobs.wake(job.id, now=99.0)
    database.jobs.save(replace(job, message="by a service"), release=False)
    assert claim(database) == ["a"]


def test_next_due(database):
    assert database.next_due() is None
    jobs = fill(database, "a", "b", "c", next_check_at=None)
    assert database.next_due() is None
    database.jobs.wake(jobs[0].id, now=50.0)
    database.instances.add(an_instance(jobs[0], next_check_at=40.0))
    assert database.next_due() == 40.0
    (instance,) = database.instances.claim("a", now=45.0, lease=100.0, limit=1)
    assert database.next_due() == 50.0
    database.jobs.claim("a", now=50.0, lease=10.0, limit=1)
    assert database.next_due() == 60.0
    database.instances.save(replace(instance, next_check_at=55.0))
    assert database.next_due() == 55.0


def test_leases_of_a_killed_server_can_be_forgotten(database):
    (job, _) = fill(database, "a", "b")
    database.instances.add(an_instance(job))
    database.jobs.claim("gone", now=100.0, lease=600.0, limit=1)
    database.instances.claim("gone", now=100.0, lease=600.0, limit=1)
    assert database.forget_leases() == 2
    assert claim(database) == ["a", "b"]


def test_many_workers_never_hold_the_same_row(url, database):
    """Several threads of two servers work the queue; each row is worked on three times, by one at a time."""
    fill(database, *(f"r{n}" for n in range(30)))
    other = open_database(url)
    held, counts, lock = set(), Counter(), threading.Lock()

    def work(server) -> None:
        while jobs := server.jobs.claim("x", now=100.0, lease=60.0, limit=4):
            with lock:
                assert held.isdisjoint(job.id for job in jobs)
                held.update(job.id for job in jobs)
            for job in jobs:
                with lock:
                    counts[job.id] += 1
                    held.discard(job.id)
                server.jobs.save(
                    replace(job, attempt=job.attempt + 1, next_check_at=None if job.attempt == 2 else 99.0)
                )

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(work, server) for server in (database, other) * 4]:
            result.result()
    other.close()
    assert set(counts.values()) == {3}
    assert {job.attempt for job in database.jobs.unfinished()} == {3}


def test_many_threads_write_at_once(database):
    def add(number: int) -> None:
        (job,) = fill(database, f"r{number}")
        for _ in range(5):
            job = database.jobs.save(job)
            database.jobs.wake(job.id, now=1.0)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(40)))
    assert {job.version for job in database.jobs.unfinished()} == {5}
    assert len(database.runs.recent("main", limit=100)) == 40

"""The scheduler's own threads over a real database: what fails is told, tried again, and never the end of the queue."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.db import SqlDatabase
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator import scheduler as scheduling
from dstack_cloud.orchestrator.scheduler import Scheduler
from dstack_cloud.orchestrator.world import Timing
from tests.fakes.simulation import Chance, SimBackend, Simulation
from tests.unit.orchestrator.errand import wait_until

QUICK = Timing(poll=0.2, retry=0.02, longest_retry=0.1, reap=1000.0)


class FailingDatabase(SqlDatabase):
    """Fails the next `failures` times that the queue is read."""

    failures = 0
    error: Exception = errors.ServerError("the database failed: disk full")

    def next_due(self) -> float | None:
        if self.failures:
            self.failures -= 1
            raise self.error
        return super().next_due()


class Rehearsal:
    """A simulated world under the real scheduler. Its job ends as soon as it is looked at: no offer fits."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.simulation = Simulation(folder, Chance(random.Random(1)))
        self.database = FailingDatabase(self.simulation.database._engine)
        self.ahead = 0.0
        world = replace(self.simulation.world, database=self.database, timing=QUICK, clock=self.clock, **changes)
        self.scheduler = Scheduler(world)

    def clock(self) -> float:
        return time.time() + self.ahead

    def submit(self) -> None:
        self.simulation.submit()
        self.scheduler.wake()

    def wait_for_status(self, status: JobStatus) -> None:
        wait_until(lambda: self.simulation.job().status is status, str(status))


class NoOffers(SimBackend):
    def __init__(self, *answers: Exception) -> None:
        super().__init__(Chance(random.Random(1)))
        self.answers = list(answers)

    def offers(self, requirements: object) -> list[Any]:
        if self.answers:
            raise self.answers.pop(0)
        return []


@pytest.fixture
def rehearsals(tmp_path: Path) -> Iterator[Any]:
    made: list[Rehearsal] = []

    def make(*answers: Exception) -> Rehearsal:
        rehearsal = Rehearsal(tmp_path, backends={"main": {"sim": NoOffers(*answers)}})
        made.append(rehearsal)
        rehearsal.scheduler.start()
        return rehearsal

    yield make
    for rehearsal in made:
        rehearsal.scheduler.stop()
        rehearsal.database.close()


@pytest.mark.parametrize("error", [errors.ServerError("the database failed"), RuntimeError("a bug")])
def test_a_database_that_fails_for_a_while_stops_nothing(rehearsals: Any, error: Exception) -> None:
    rehearsal = rehearsals()
    rehearsal.database.error = error
    rehearsal.database.failures = 1
    wait_until(lambda: rehearsal.database.failures == 0, "the failure")
    rehearsal.submit()
    rehearsal.wait_for_status(JobStatus.FAILED)


def test_an_unforeseen_error_is_shown_and_tried_again(rehearsals: Any) -> None:
    rehearsal = rehearsals(*[KeyError("zone")] * 3)
    rehearsal.submit()
    wait_until(lambda: rehearsal.simulation.job().message == "KeyError: 'zone'", "the message")
    rehearsal.wait_for_status(JobStatus.FAILED)


def test_a_backend_that_cannot_answer_now_is_asked_again(rehearsals: Any) -> None:
    rehearsal = rehearsals(*[errors.Throttled("slow down")] * 3)
    rehearsal.submit()
    wait_until(lambda: rehearsal.simulation.job().message == "slow down", "the message")
    rehearsal.wait_for_status(JobStatus.FAILED)


def test_a_row_that_waits_is_due_when_the_clock_was_set_back(rehearsals: Any) -> None:
    rehearsal = rehearsals()
    simulation = rehearsal.simulation
    rehearsal.ahead = 5000.0
    wait_until(lambda: rehearsal.scheduler._looked_at > time.time() + 1000, "a look at the clock")
    job = simulation.submit()
    simulation.database.jobs.save(replace(job, next_check_at=time.time() + 5000))
    rehearsal.ahead = 0.0
    rehearsal.wait_for_status(JobStatus.FAILED)


def test_a_project_that_left_the_configuration_is_named(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, Chance(random.Random(1)))
    with pytest.raises(errors.ConfigurationError, match="the project gone isn't in the configuration"):
        simulation.world.store_of(replace(simulation.submit(), project="gone"))


def test_workers_are_as_many_as_before_after_failures(rehearsals: Any) -> None:
    rehearsal = rehearsals(*[KeyError("zone")] * 20)
    rehearsal.submit()
    rehearsal.wait_for_status(JobStatus.FAILED)
    wait_until(lambda: rehearsal.scheduler._free == scheduling.WORKERS, "free workers")


class Slow(SimBackend):
    """Its offers come when they are let go."""

    def __init__(self) -> None:
        super().__init__(Chance(random.Random(1)))
        self.asked, self.let_go = threading.Event(), threading.Event()

    def offers(self, requirements: object) -> list[Any]:
        self.asked.set()
        self.let_go.wait(60)
        return []


def test_the_end_does_not_wait_for_a_slow_step(tmp_path: Path) -> None:
    slow = Slow()
    rehearsal = Rehearsal(tmp_path, backends={"main": {"sim": slow}})
    rehearsal.scheduler.start()
    rehearsal.submit()
    assert slow.asked.wait(60)
    rehearsal.scheduler.stop()
    assert rehearsal.simulation.job().status is JobStatus.SUBMITTED
    slow.let_go.set()
    # the step that was left alone ends well all the same
    rehearsal.wait_for_status(JobStatus.FAILED)
    rehearsal.database.close()


def test_a_server_that_slept_knows_since_when_it_is_awake(rehearsals: Any) -> None:
    rehearsal = rehearsals()
    awake = rehearsal.scheduler.world.awake
    wait_until(lambda: awake.since > 0, "the start")
    began = awake.since
    rehearsal.ahead = 3600.0
    wait_until(lambda: awake.since > began + 3000, "the end of the sleep")
    assert awake.count(7200.0, rehearsal.clock()) < 600.0


def test_a_step_that_another_rows_change_stopped_gives_its_own_row_back(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.simulation.submit()
    jobs = rehearsal.database.jobs
    [claimed] = jobs.claim("me", now=rehearsal.clock(), lease=600.0, limit=1)
    assert jobs.claim("me", now=rehearsal.clock(), lease=600.0, limit=1) == []

    def step(_row: object) -> None:
        raise Stale("its machine has changed", "machine-1")

    rehearsal.scheduler._run(step, claimed)
    assert [job.id for job in jobs.claim("me", now=rehearsal.clock() + 1, lease=600.0, limit=1)] == [claimed.id]
    rehearsal.database.close()

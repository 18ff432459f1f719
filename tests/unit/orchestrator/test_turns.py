"""Jobs queue for machines that stay: without limit, in their order, and at once when a place is free."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from dstack_cloud.backends.base import Capabilities, PoolMachine
from dstack_cloud.domain.runs import Instance, Job, Run
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.orchestrator import turns
from tests.fakes.simulation import Chance, SimBackend, Simulation, an_offer

DAY = 86400


class Kept(SimBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, ephemeral=False)

    def pool(self) -> list[PoolMachine]:
        return [PoolMachine(offer.instance_type, offer.machine, slots=2) for offer in self.catalogue]


class Shared(Simulation):
    """One machine that takes two jobs, and has `others`."""

    def __init__(self, folder: Path, others: int = 2, retry: int | None = None) -> None:
        super().__init__(folder, Chance(random.Random(1)))
        self.backend = Kept(self.chance, catalogue=[an_offer()])
        self.runners.backend = self.backend
        self.world = replace(self.world, backends={"main": {"sim": self.backend}})
        job = self.submit(retry_seconds=retry)
        for n in range(others):
            self._occupy(job, f"other-{n}")

    def _occupy(self, like: Job, name: str) -> None:
        self.database.runs.add(Run(name, "main", name, "train", None))
        running = replace(
            like, id=f"{name}.train", run_id=name, run_name=name, status=JobStatus.RUNNING, next_check_at=None
        )
        self.database.jobs.add(running)
        self.database.instances.add(
            Instance(name, "main", running.id, name, 1, an_offer(), InstanceStatus.BUSY, next_check_at=None)
        )

    def leave(self) -> None:
        """The first of the others ends."""
        other = self.database.instances.get("other-0")
        assert other is not None
        ended = self.database.instances.save(replace(other, status=InstanceStatus.TERMINATED, next_check_at=None))
        turns.give(self.world, ended)


def test_it_waits_for_days_and_says_for_what(tmp_path: Path) -> None:
    world = Shared(tmp_path)
    world.step_once()
    world.now += 3 * DAY
    for _ in range(30):
        world.step_once()
    job = world.job()
    assert (job.status, job.message) == (JobStatus.PENDING, "waiting: t0 is busy: it runs other-0, other-1")
    assert world.launches() == []


def test_a_place_that_is_left_is_taken_at_once(tmp_path: Path) -> None:
    world = Shared(tmp_path)
    world.step_once()
    assert world.job().status is JobStatus.PENDING
    left_at = world.now
    world.leave()
    world.step_once()
    assert [launch.created_at for launch in world.launches()] == [left_at]


def test_retry_limits_the_wait(tmp_path: Path) -> None:
    world = Shared(tmp_path, retry=600)
    while not world.job().status.finished:
        world.step_once()
    assert world.job().status is JobStatus.FAILED
    assert world.job().message == "t0 is busy: it runs other-0, other-1"


def test_places_that_another_server_took_are_waited_for_too(tmp_path: Path) -> None:
    world = Shared(tmp_path, others=1)
    world.backend.refuse = 3
    while len(world.launches()) < 4:
        world.step_once()
    assert [launch.status for launch in world.launches()[:3]] == [InstanceStatus.REFUSED] * 3
    assert not world.job().status.finished

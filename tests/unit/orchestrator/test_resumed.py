"""A job that was started again by hand, under a simulated world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.domain.runs import Job, Need, Run
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import plan
from dstack_cloud.storage import artifacts, layout
from tests.fakes.simulation import Simulation
from tests.unit.orchestrator.test_going_on import check_nothing_is_left, remote, until_running

# a job of another run
EARLIER = "misty-1.a"


def resume(world: Simulation) -> Job:
    return world.database.jobs.save(plan.resumed(world.job(), world.now))


@pytest.mark.parametrize("seed", range(20))
def test_it_runs_once_more_whatever_fails(tmp_path: Path, seed: int) -> None:
    world = remote(tmp_path, seed, fault=0.2, crash=0.2)
    world.go(2000)
    before = world.job().attempt
    resume(world)
    world.go(2000)
    assert world.job().status.finished
    assert world.job().attempt > before or world.job().status is JobStatus.FAILED
    check_nothing_is_left(world)


def test_it_waits_until_its_former_machine_is_gone(tmp_path: Path) -> None:
    world = remote(tmp_path)
    until_running(world)
    world.database.jobs.save(plan.finish(world.job(), JobStatus.FAILED, world.now))
    resume(world)
    world.step_once()
    assert world.job().message == "waiting until its former machine is gone"
    world.go()
    assert (world.job().status, world.job().attempt) == (JobStatus.DONE, 2)
    first, second = world.launches()
    assert first.terminated_at is not None and first.terminated_at <= second.created_at


def test_refusals_from_before_count_no_more(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.backend.refuse = 100
    world.go()
    assert world.job().status is JobStatus.FAILED
    world.backend.refuse = 0
    world.now += 1
    resume(world)
    world.go()
    assert world.job().status is JobStatus.DONE
    assert [launch.status for launch in world.launches()][-1] is InstanceStatus.TERMINATED


def test_lost_machines_from_before_count_no_more(tmp_path: Path) -> None:
    world = remote(tmp_path)
    until_running(world)
    (one,) = world.launches()
    gone = replace(one, ending=Ending.LOST, wrong="gone")
    lost = [replace(gone, attempt=n + 1, created_at=float(n)) for n in range(plan.MOST_LOST)]
    failed = plan.finish(world.job(), JobStatus.FAILED, world.now)
    assert plan.too_many_lost(plan.since_resumed(failed, lost))
    again = plan.resumed(failed, 5.0)
    assert plan.since_resumed(again, lost) == lost[5:]
    assert not plan.too_many_lost(plan.since_resumed(again, lost))


def two_runs(folder: Path) -> Simulation:
    """train, which needs what `a` of an earlier run has made."""
    world = remote(folder)
    world.database.jobs.save(replace(world.job(), needs=(Need("misty-1", "a"),)))
    world.database.runs.add(Run("r0", "main", "misty-1", "a", None))
    world.database.jobs.add(replace(world.job(), id=EARLIER, run_id="r0", run_name="misty-1", name="a", needs=()))
    earlier(world, status=JobStatus.DONE, finished_at=world.now, next_check_at=None)
    return world


def earlier(world: Simulation, **changes: Any) -> Job:
    job = world.database.jobs.get(EARLIER)
    assert job is not None
    return world.database.jobs.save(replace(job, **changes)) if changes else job


def again(world: Simulation) -> None:
    """`a` runs once more, with nobody who takes it further."""
    world.database.jobs.save(replace(plan.resumed(earlier(world), world.now), next_check_at=None))


def done(world: Simulation) -> None:
    earlier(world, status=JobStatus.DONE, finished_at=world.now)
    world.database.jobs.wake("shady-1.train", now=world.now)


def test_nothing_starts_with_what_another_run_makes_again(tmp_path: Path) -> None:
    world = two_runs(tmp_path)
    again(world)
    world.step_once()
    assert (world.job().message, world.launches()) == ("waits for misty-1.a", [])
    due = world.job().next_check_at
    assert due is not None and due - world.now <= world.world.timing.poll
    done(world)
    world.go()
    assert world.job().status is JobStatus.DONE


def test_a_later_attempt_waits_as_well(tmp_path: Path) -> None:
    world = two_runs(tmp_path)
    until_running(world)
    again(world)
    world.lose_machines()
    while world.job().message != "waits for misty-1.a":
        world.step_once()
    assert len(world.launches()) == 1
    earlier(world, status=JobStatus.FAILED, finished_at=world.now)
    world.database.jobs.wake("shady-1.train", now=world.now)
    world.go()
    assert (world.job().status, world.job().message) == (JobStatus.FAILED, "`misty-1.a` failed")


def test_what_is_no_more_is_not_waited_for(tmp_path: Path) -> None:
    world = two_runs(tmp_path)
    world.database.runs.delete("r0")
    world.go()
    assert world.job().message == "the outputs of misty-1.a, which it needs, were removed"


@pytest.mark.parametrize("clear", [True, False])
def test_what_is_cleared_goes_with_the_next_launch_and_not_before(tmp_path: Path, clear: bool) -> None:
    world = remote(tmp_path)
    world.go()
    place = layout.JobPlace("shady-1", "train")
    artifacts.publish(world.store, place, Manifest(place.run, place.job, 1))
    world.database.jobs.save(replace(plan.resumed(world.job(), world.now, clear=clear), stop_request="stop"))
    world.go()
    assert artifacts.load_manifest(world.store, place) and world.job().status is JobStatus.STOPPED
    resume(world)
    world.step_once()
    assert (world.job().attempt, world.job().clear) == (2, False)
    assert (artifacts.load_manifest(world.store, place) is None) is clear

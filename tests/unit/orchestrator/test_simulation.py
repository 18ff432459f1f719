"""The steps under a simulated world: whatever dies wherever, the job ends right, once, and nothing is left."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.domain.states import JobStatus
from tests.fakes.simulation import Chance, Simulation


def simulation(folder: Path, seed: int, *, crash: float = 0.0, fault: float = 0.0, refuse: int = 0) -> Simulation:
    world = Simulation(folder, Chance(random.Random(seed), crash=crash, fault=fault), refuse)
    world.submit()
    return world


def check_nothing_is_left(world: Simulation) -> None:
    assert world.backend.machines == {}
    assert not world.database.instances.alive()
    assert all(count == 1 for count in world.runners.started.values())
    world.reap()
    assert world.runners.keys == set()


def test_a_job_is_done_and_its_machine_gone(tmp_path: Path) -> None:
    world = simulation(tmp_path, 1)
    world.go()
    assert world.job().status is JobStatus.DONE
    assert len(world.runners.started) == 1
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(40))
def test_a_server_killed_anywhere_starts_nothing_twice_and_leaks_nothing(tmp_path: Path, seed: int) -> None:
    world = simulation(tmp_path, seed, crash=0.25)
    world.go()
    assert world.job().status is JobStatus.DONE
    assert len(world.runners.started) == 1
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(40))
def test_lost_answers_are_asked_again_under_the_same_key(tmp_path: Path, seed: int) -> None:
    world = simulation(tmp_path, seed, crash=0.1, fault=0.25)
    world.go()
    assert world.job().status is JobStatus.DONE
    check_nothing_is_left(world)


def test_refused_offers_are_passed_over(tmp_path: Path) -> None:
    world = simulation(tmp_path, 2, refuse=2)
    world.go()
    assert world.job().status is JobStatus.DONE
    launches = world.database.instances.of_jobs([world.job().id])
    assert [launch.offer.instance_type for launch in launches] == ["t0", "t1", "t2"]
    assert {launch.attempt for launch in launches} == {1}
    check_nothing_is_left(world)


def test_when_all_offers_are_refused_the_job_fails_with_their_count(tmp_path: Path) -> None:
    world = simulation(tmp_path, 3, refuse=99)
    world.go()
    assert world.job().status is JobStatus.FAILED
    assert "4 offers tried: 4 no capacity; last: none left" in world.job().message


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("request_", ["stop", "abort"])
def test_a_stop_at_any_moment_ends_the_job_and_frees_the_machine(tmp_path: Path, seed: int, request_: str) -> None:
    world = simulation(tmp_path, seed, crash=0.1)
    for _ in range(seed):
        world.step_once()
    job = world.job()
    if not job.status.finished:
        world.database.jobs.save(replace(job, stop_request=request_))  # type: ignore[arg-type]
        world.database.jobs.wake(job.id, now=world.now)
    world.go()
    wanted = {"stop": JobStatus.STOPPED, "abort": JobStatus.ABORTED}[request_]
    assert world.job().status in (wanted, JobStatus.DONE)
    check_nothing_is_left(world)


def test_a_machine_of_this_computer_that_vanishes_fails_the_job(tmp_path: Path) -> None:
    world = simulation(tmp_path, 4)
    while world.job().status is not JobStatus.RUNNING:
        world.step_once()
    world.lose_machines()
    world.go()
    assert world.job().status is JobStatus.FAILED
    assert "was lost" in world.job().message
    check_nothing_is_left(world)


def test_a_machine_that_no_row_owns_is_reaped(tmp_path: Path) -> None:
    world = simulation(tmp_path, 5)
    world.backend.machines["somebody-else"] = "running"
    world.go()
    world.reap()
    assert world.backend.machines == {}

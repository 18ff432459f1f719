"""Nodes under crashes, faults and machines that go: all or none, ended right, nothing left, never a part of them for long."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator import groups, plan
from tests.fakes.simulation import Chance, Simulation, an_offer

# rounds of a second in which a node may work while another has ended
LONGEST_PART = 120


def nodes_of(
    folder: Path, seed: int, count: int = 3, refuse: int = 0, spec: dict[str, Any] | None = None, **chances: float
) -> Simulation:
    world = Simulation(folder, Chance(random.Random(seed), **chances), refuse, remote=True)
    world.submit(nodes=count, **(spec or {}))
    return world


def go(world: Simulation, rounds: int = 4000) -> None:
    """To the end; counts how long a part of the nodes works while another is gone."""
    alone = 0
    for _ in range(rounds):
        if all(job.status.finished for job in world.jobs()) and not world.database.instances.alive():
            return
        world.step_once()
        world.check()
        working = [job for job in world.jobs() if job.instance_id in world.runners.working()]
        gone = [job for job in world.jobs() if job.instance_id in world.runners.started and job not in working]
        unwell = [job for job in gone if world.runners.phases.get(job.instance_id)]
        alone = alone + 1 if working and unwell else 0
        assert alone < LONGEST_PART, "a part of the nodes goes on"
    raise AssertionError(f"not at its end after {rounds} rounds: {world.jobs()}")


def statuses(world: Simulation) -> set[str]:
    return {str(job.status) for job in world.jobs()}


def check_nothing_is_left(world: Simulation) -> None:
    for _ in range(500):
        world.backend.arrive(world.now)
        world.now += 1
    world.chance.crash = world.chance.fault = 0.0
    world.reap()
    assert world.backend.machines == {}
    assert world.runners.keys == set()


def test_all_nodes_run_on_one_offer_and_know_each_other(tmp_path: Path) -> None:
    world = nodes_of(tmp_path, 1)
    go(world)
    assert statuses(world) == {"done"}
    launches = [world.launches(job.name)[-1] for job in world.jobs()]
    assert len({launch.offer.key for launch in launches}) == 1
    told = [world.runners.nodes[launch.id] for launch in launches]
    assert told == [[f"10.{launch.id}" for launch in launches]] * 3
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(25))
def test_whatever_dies_all_are_done_or_go_on_together(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, crash=0.05, fault=0.05, lose=0.004, interrupt=0.01)
    go(world)
    assert statuses(world) == {"done"}, [job.message for job in world.jobs()]
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(15))
def test_one_failure_ends_all_of_them(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, crash=0.05, fault=0.05)
    world.codes["train.1"] = 3
    go(world)
    assert statuses(world) == {"failed"}
    assert world.job("train.1").exit_code == 3
    assert world.job().message == "node 1 failed: exit code 3"
    assert {job.attempt for job in world.jobs()} == {1}
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("wish", ["stop", "abort"])
def test_a_stop_at_any_moment_ends_all_of_them(tmp_path: Path, seed: int, wish: str) -> None:
    world = nodes_of(tmp_path, seed, crash=0.1)
    for _ in range(2 * seed):
        world.step_once()
    for job in world.jobs():
        if not job.status.finished:
            world.database.jobs.save(replace(job, stop_request=wish))  # type: ignore[arg-type]
            world.database.jobs.wake(job.id, now=world.now)
    go(world)
    assert statuses(world) in ({"stopped" if wish == "stop" else "aborted"}, {"done"})
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(10))
def test_where_one_is_refused_all_are_given_back_and_the_next_offer_is_tried(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, refuse=1, crash=0.05)
    go(world)
    assert statuses(world) == {"done"}
    tried = [launch.offer.instance_type for job in world.jobs() for launch in world.launches(job.name)]
    assert sorted(tried) == ["t0"] * 3 + ["t1"] * 3
    assert {launch.attempt for job in world.jobs() for launch in world.launches(job.name)} == {1}
    check_nothing_is_left(world)


def test_what_was_refused_is_named_where_no_offer_has_room_for_all(tmp_path: Path) -> None:
    world = nodes_of(tmp_path, 1, count=2)
    world.backend.catalogue = [an_offer("a"), an_offer("b")]
    world.backend.refusals = {offer.key: errors.NoCapacity("none left") for offer in world.backend.catalogue}
    go(world)
    assert statuses(world) == {"failed"}
    assert {job.message for job in world.jobs()} == {"2 offers tried: 2 no capacity; last: none left"}
    check_nothing_is_left(world)


def test_what_needs_it_starts_when_all_nodes_are_done(tmp_path: Path) -> None:
    world = Simulation(tmp_path, Chance(random.Random(1)), remote=True)
    world.submit(needs=("prepare",))
    world.add("prepare", nodes=3)
    go(world)
    assert statuses(world) == {"done"}
    ends = [job.finished_at or 0.0 for job in world.jobs() if job.spec.workflow == "prepare"]
    assert max(ends) <= world.launches()[0].created_at


@pytest.mark.parametrize("seed", range(10))
def test_one_that_is_cut_off_is_given_up_and_all_go_on(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, crash=0.02)
    while world.job().status is not JobStatus.RUNNING:
        world.step_once()
    world.backend.machines.pop(world.launches("train.2")[-1].id)
    go(world)
    assert statuses(world) == {"done"}
    assert {job.attempt for job in world.jobs()} == {2}
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(4))
def test_without_retry_one_that_is_lost_ends_all_and_no_machine_is_left(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, spec={"retry_seconds": 0}, crash=0.05)
    while any(job.status is not JobStatus.RUNNING for job in world.jobs()):
        world.step_once()
        assert not world.job().status.finished, "it ran too fast to be broken"
    world.backend.machines.pop(world.launches("train.1")[-1].id)
    go(world)
    assert statuses(world) == {"failed"}
    assert {job.attempt for job in world.jobs()} == {1}
    said = "node 1: the machine was lost on sim r (the machine is gone); it isn't begun again"
    assert all(job.message.startswith(said) for job in world.jobs()), world.job().message
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(8))
def test_without_retry_whatever_dies_all_end_alike(tmp_path: Path, seed: int) -> None:
    world = nodes_of(tmp_path, seed, spec={"retry_seconds": 0}, crash=0.05, fault=0.05, lose=0.004, interrupt=0.01)
    go(world)
    assert statuses(world) in ({"done"}, {"failed"}), [job.message for job in world.jobs()]
    check_nothing_is_left(world)


def test_all_are_started_again_by_hand(tmp_path: Path) -> None:
    world = nodes_of(tmp_path, 1)
    world.codes["train.1"] = 3
    go(world)
    world.codes.clear()
    for job in world.jobs():
        world.database.jobs.save(plan.resumed(job, world.now))
    go(world)
    assert statuses(world) == {"done"}
    assert {job.attempt for job in world.jobs()} == {2}
    check_nothing_is_left(world)


def test_one_that_is_done_early_waits_without_its_machine(tmp_path: Path) -> None:
    world = nodes_of(tmp_path, 3, count=2)
    while world.job().status is not JobStatus.RUNNING or world.job("train.1").status is not JobStatus.RUNNING:
        world.step_once()
    first, second = (world.launches(name)[-1].id for name in ("train", "train.1"))
    world.runners.phases[second] = ["uploading", "finished"]
    world.runners.phases[first] = ["running"] * 500 + ["uploading", "finished"]
    while second in world.backend.machines:
        world.step_once()
        world.check()
    assert (world.job("train.1").status, world.job("train.1").exit_code) == (JobStatus.UPLOADING, 0)
    assert world.job("train.1").message == groups.WAITS
    world.runners.phases[first] = ["uploading", "finished"]
    go(world)
    assert statuses(world) == {"done"}
    check_nothing_is_left(world)

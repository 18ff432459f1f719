"""A run of several jobs under crashes, faults and machines that go: in order, each done once, nothing left."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.simulation import Chance, Simulation


def diamond(folder: Path, seed: int, **chances: float) -> Simulation:
    """a → b, c → train."""
    world = Simulation(folder, Chance(random.Random(seed), **chances), remote=True)
    world.submit(needs=("b", "c"))
    world.add("a")
    world.add("b", ("a",))
    world.add("c", ("a",))
    return world


def statuses(world: Simulation) -> dict[str, str]:
    return {job.name: str(job.status) for job in world.jobs()}


def check_nothing_is_left(world: Simulation) -> None:
    for _ in range(500):
        world.backend.arrive(world.now)
        world.now += 1
    world.chance.crash = world.chance.fault = 0.0
    world.reap()
    assert world.backend.machines == {}
    assert world.runners.keys == set()


@pytest.mark.parametrize("seed", range(15))
def test_all_are_done_in_their_order_whatever_dies(tmp_path: Path, seed: int) -> None:
    world = diamond(tmp_path, seed, crash=0.05, fault=0.05, lose=0.01, interrupt=0.02)
    world.go(rounds=3000)
    assert set(statuses(world).values()) == {"done"}, [job.message for job in world.jobs()]
    attempts = Counter(launch.job_id for job in world.jobs() for launch in world.launches(job.name))
    assert all(attempts[f"shady-1.{name}"] for name in ("a", "b", "c", "train"))
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(10))
def test_a_failure_ends_what_waits_for_it_without_a_machine(tmp_path: Path, seed: int) -> None:
    world = diamond(tmp_path, seed, crash=0.05, fault=0.05)
    world.codes["b"] = 3
    world.go(rounds=2000)
    assert statuses(world) == {"a": "done", "b": "failed", "c": "done", "train": "failed"}
    assert world.job().message == "`b` failed"
    assert world.launches() == []
    check_nothing_is_left(world)


@pytest.mark.parametrize("seed", range(20))
def test_a_stop_at_any_moment_ends_all_of_them(tmp_path: Path, seed: int) -> None:
    world = diamond(tmp_path, seed, crash=0.1)
    for _ in range(3 * seed):
        world.step_once()
    for job in world.jobs():
        if not job.status.finished:
            world.database.jobs.save(replace(job, stop_request="stop"))
            world.database.jobs.wake(job.id, now=world.now)
    world.go(rounds=2000)
    assert set(statuses(world).values()) <= {"stopped", "done"}
    check_nothing_is_left(world)

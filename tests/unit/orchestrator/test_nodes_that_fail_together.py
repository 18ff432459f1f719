"""A program of several nodes fails by itself soon after another node is gone: what came first decides."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import nodes
from dstack_cloud.orchestrator.placement import refused_in
from tests.fakes.simulation import Chance, Simulation
from tests.unit.orchestrator.test_nodes_simulation import check_nothing_is_left, go, statuses


@pytest.fixture
def world(tmp_path: Path) -> Simulation:
    """Two nodes that run, for long."""
    world = Simulation(tmp_path, Chance(random.Random(1)), remote=True)
    world.runners.life = ("downloading", *["running"] * 500, "uploading", "finished")
    world.submit(nodes=2)
    while any(job.status is not JobStatus.RUNNING for job in world.jobs()):
        world.step_once()
    return world


def machine(world: Simulation, name: str) -> str:
    return world.launches(name)[-1].id


def fails(world: Simulation, name: str) -> None:
    world.codes[name] = 1
    world.runners.phases[machine(world, name)] = ["uploading", "finished"]


def goes_on(world: Simulation) -> None:
    while world.job().attempt == 1:
        world.step_once()
        assert not world.job().status.finished, world.job()
    world.codes.clear()
    world.runners.life = ("downloading", "running", "uploading", "finished")
    go(world)
    assert statuses(world) == {"done"}
    assert {job.attempt for job in world.jobs()} == {2}
    check_nothing_is_left(world)


def test_a_failure_after_another_was_interrupted_is_not_held_against_the_job(world: Simulation) -> None:
    world.interrupt(machine(world, "train.1"))
    fails(world, "train")
    goes_on(world)


def test_a_failure_after_anothers_machine_was_lost_is_not_either(world: Simulation) -> None:
    world.backend.machines.pop(machine(world, "train.1"))
    fails(world, "train")
    goes_on(world)


def test_what_goes_while_it_is_ended_for_a_failure_changes_nothing(world: Simulation) -> None:
    fails(world, "train")
    while world.job("train.1").status is not JobStatus.STOPPING:
        world.step_once()
    world.backend.machines.pop(machine(world, "train.1"), None)
    go(world)
    assert statuses(world) == {"failed"}
    assert world.job("train.1").message == "node 0 failed: exit code 1"


def test_without_the_store_a_node_does_not_work_on_alone_for_ever(world: Simulation) -> None:
    [lost] = world.launches("train.1")
    long_ago, world.now = world.now, world.now + world.world.timing.saving + 1
    ended = replace(lost, status=InstanceStatus.TERMINATED, ending=Ending.LOST, terminated_at=long_ago)
    world.database.instances.save(ended, release=False)
    world.world.stores["main"] = _Away()  # type: ignore[index]
    nodes.watch(world.world, world.job())
    assert (world.job().status, world.job().message) == (JobStatus.STOPPING, "ends, because node 1 failed")


def test_many_are_asked_at_once_and_answer_in_order() -> None:
    assert nodes.at_once(str, range(40)) == [str(number) for number in range(40)]


@pytest.mark.parametrize("codes", [["QuotaExceeded", "NoCapacity"], ["NoCapacity", "QuotaExceeded"]])
def test_of_what_one_offer_was_refused_for_that_counts_which_rules_out_most(
    world: Simulation, codes: list[str]
) -> None:
    launches = [
        replace(launch, status=InstanceStatus.REFUSED, wrong=f"{code}: no")
        for launch, code in zip((*world.launches("train"), *world.launches("train.1")), codes, strict=True)
    ]
    assert [launch.wrong for launch in refused_in(launches, 1, 0)] == ["QuotaExceeded: no"]


def test_a_store_that_is_away_is_told_where_none_is_gone(world: Simulation) -> None:
    world.world.stores["main"] = _Away()  # type: ignore[index]
    with pytest.raises(errors.StoreError):
        nodes.watch(world.world, world.job())


class _Away:
    def get(self, key: str) -> bytes:
        raise errors.StoreError("the store is away")

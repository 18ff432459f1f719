"""Machines that were just made: not listed yet, or not answering yet because something is installed on them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Observed
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from tests.fakes.simulation import SimBackend, Simulation
from tests.unit.orchestrator.test_instances import quiet, step_job, step_machine, the_machine

GRACE = 600.0


def made(folder: Path, *, remote: bool = True) -> Simulation:
    """The create call was answered."""
    simulation = quiet(folder)
    simulation.backend.remote = remote
    step_job(simulation)
    assert step_machine(simulation).status is InstanceStatus.STARTING
    return simulation


def test_one_that_is_not_listed_yet_is_not_taken_for_lost(tmp_path: Path) -> None:
    simulation = made(tmp_path)
    simulation.lose_machines()
    assert step_machine(simulation).status is InstanceStatus.STARTING
    simulation.now += simulation.world.timing.settle - 1
    assert step_machine(simulation).status is InstanceStatus.STARTING
    simulation.backend.machines[the_machine(simulation).ref] = "running"
    assert step_machine(simulation).status is InstanceStatus.BUSY


@pytest.mark.parametrize("remote", [True, False])
def test_one_that_should_be_listed_by_now_is_lost_and_here_at_once(tmp_path: Path, remote: bool) -> None:
    simulation = made(tmp_path, remote=remote)
    simulation.lose_machines()
    # on this computer nothing is listed late
    simulation.now += simulation.world.timing.settle if remote else 0
    lost = step_machine(simulation)
    assert (lost.status, lost.ending) == (InstanceStatus.TERMINATING, Ending.LOST)


def test_one_that_was_stopped_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    simulation = made(tmp_path)
    simulation.backend.machines[the_machine(simulation).ref] = "stopped"
    assert step_machine(simulation).status is InstanceStatus.TERMINATING


class Installing(SimBackend):
    """Its machines have no address, or don't answer at theirs, until what is installed first is there."""

    reachable = False

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        endpoint = "unix:x" if self.reachable else ""
        return {ref: replace(one, endpoint=endpoint, grace=GRACE) for ref, one in super().inspect(refs).items()}


def installing(folder: Path) -> tuple[Simulation, Installing]:
    """Past the time that other machines have."""
    simulation = quiet(folder)
    backend = Installing(simulation.chance)
    simulation.world = replace(simulation.world, backends={"main": {"sim": backend}})
    step_job(simulation)
    step_machine(simulation)
    simulation.now += simulation.world.timing.boot + 1
    return simulation, backend


@pytest.mark.parametrize("addressed", [False, True])
def test_one_with_a_grace_has_so_much_longer_to_answer(tmp_path: Path, addressed: bool) -> None:
    simulation, backend = installing(tmp_path)
    # the simulated runner answers on machines of the simulation's own backend only: this one has an address, and is mute
    backend.reachable = addressed
    assert step_machine(simulation).status is InstanceStatus.STARTING
    simulation.now += GRACE
    late = step_machine(simulation)
    assert (late.status, late.ending) == (InstanceStatus.TERMINATING, Ending.MUTE)
    step_job(simulation)
    assert simulation.job().status is JobStatus.FAILED
    assert "no answer within 900 s" in simulation.job().message


def test_one_that_answers_within_its_grace_gets_its_job(tmp_path: Path) -> None:
    simulation, backend = installing(tmp_path)
    assert step_machine(simulation).status is InstanceStatus.STARTING
    backend.reachable = True
    simulation.now += GRACE / 2
    simulation.backend.machines = backend.machines
    assert step_machine(simulation).status is InstanceStatus.BUSY

"""Single steps of instances and jobs at the edges of their lives, in the simulated world."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.base import Capabilities, Health, Observed, Owned
from dstack_cloud.domain.jobs import Confidential, JobSpec
from dstack_cloud.domain.runs import Instance
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import instances, jobs, reports
from dstack_cloud.orchestrator.dispatch import DEFAULT_MAX_DURATION, longest_run
from dstack_cloud.orchestrator.instances import ASK_AGAIN
from dstack_cloud.orchestrator.reap import find_orphans, reap
from dstack_cloud.storage.layout import AttemptPlace
from tests.fakes.failing_store import FailingStore
from tests.fakes.simulation import Chance, SimBackend, SimCouriers, Simulation


def quiet(folder: Path) -> Simulation:
    """Nothing fails, and no runner says anything of itself."""
    simulation = Simulation(folder, Chance(random.Random(1)))
    simulation.submit()
    return simulation


def step_job(simulation: Simulation, **changes: Any) -> None:
    (job,) = simulation.database.jobs.claim("w", now=simulation.now + 1000, lease=60, limit=1)
    jobs.step(replace(simulation.world, **changes), job)


def step_machine(simulation: Simulation, **changes: Any) -> Instance:
    (machine,) = simulation.database.instances.claim("w", now=simulation.now + 1000, lease=60, limit=1)
    instances.step(replace(simulation.world, **changes), SimCouriers(simulation), machine)  # type: ignore[arg-type]
    return the_machine(simulation)


def the_machine(simulation: Simulation) -> Instance:
    return simulation.database.instances.of_jobs([simulation.job().id])[-1]


def busy(folder: Path) -> Simulation:
    simulation = quiet(folder)
    step_job(simulation)
    step_machine(simulation)
    assert step_machine(simulation).status is InstanceStatus.BUSY
    return simulation


def test_where_nothing_can_be_saved_any_more_the_job_fails_and_its_machine_goes(tmp_path: Path) -> None:
    simulation, store = busy(tmp_path), FailingStore()
    store.broken = {"status.json"}
    simulation.given_up = "the bucket b doesn't exist"
    assert step_machine(simulation).status is InstanceStatus.TERMINATING
    step_job(simulation, stores={"main": store})
    assert (simulation.job().status, simulation.job().reason) == (JobStatus.FAILED, "input")
    assert "the bucket b doesn't exist" in simulation.job().message


class Belated(SimBackend):
    """Says only to who asks after a machine that it may not be had."""

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        refusal = errors.QuotaExceeded("no more of these", scope="type")
        return {ref: Observed(ref, Health.GONE, refusal=refusal) for ref in refs}


def test_what_a_cloud_refuses_only_after_a_while_is_refused_and_not_lost(tmp_path: Path) -> None:
    simulation = quiet(tmp_path)
    step_job(simulation)
    assert step_machine(simulation).status is InstanceStatus.STARTING
    refused = step_machine(simulation, backends={"main": {"sim": Belated(simulation.chance)}})
    assert (refused.status, refused.wrong) == (InstanceStatus.REFUSED, "QuotaExceeded: no more of these")
    # nothing is paid for it, and the same attempt goes on with another type
    assert (refused.started_at, refused.ending, refused.scope) == (None, Ending.NONE, "type")
    step_job(simulation)
    assert simulation.job().status is JobStatus.PENDING
    step_job(simulation)
    assert the_machine(simulation).offer != refused.offer and the_machine(simulation).attempt == refused.attempt


def test_a_machine_that_stopped_but_is_still_there_is_ended_until_it_is_gone(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    ref = the_machine(simulation).ref
    simulation.backend.machines[ref] = "stopped"
    assert step_machine(simulation).status is InstanceStatus.TERMINATING
    simulation.chance.stay = 1.0
    assert step_machine(simulation).status is InstanceStatus.TERMINATING
    assert simulation.backend.machines == {ref: "stopped"}
    simulation.chance.stay = 0.0
    simulation.now += ASK_AGAIN
    assert step_machine(simulation).status is InstanceStatus.TERMINATED
    assert simulation.backend.machines == {}


class WrongKey:
    def open(self, sealed: bytes) -> Confidential:
        raise errors.ConfigurationError("the key in the state folder isn't the one")


def test_an_environment_that_cannot_be_unsealed_ends_the_job_at_once(tmp_path: Path) -> None:
    simulation = quiet(tmp_path)
    step_job(simulation)
    step_machine(simulation)
    assert step_machine(simulation, unsealer=WrongKey()).status is InstanceStatus.TERMINATING
    simulation.go()
    assert simulation.job().status is JobStatus.FAILED
    assert "isn't the one" in simulation.job().message


class Mute(SimBackend):
    """Its machines get no address, or it can't say anything of them."""

    def inspect(self, refs: Any) -> Any:
        if self.refuse:
            raise errors.Throttled("slow down")
        return {ref: replace(found, endpoint="") for ref, found in super().inspect(refs).items()}


@pytest.mark.parametrize("throttled", [0, 1])
def test_a_machine_that_never_answers_is_given_up(tmp_path: Path, throttled: int) -> None:
    simulation = quiet(tmp_path)
    mute = Mute(simulation.chance)
    simulation.world = replace(simulation.world, backends={"main": {"sim": mute}})
    step_job(simulation)
    step_machine(simulation)
    mute.refuse = throttled
    assert step_machine(simulation).status is InstanceStatus.STARTING
    simulation.now += simulation.world.timing.boot + 1
    assert step_machine(simulation).status is InstanceStatus.TERMINATING
    step_job(simulation)
    assert simulation.job().status is JobStatus.FAILED
    assert "no answer within 300 s" in simulation.job().message


@pytest.mark.parametrize("status", [InstanceStatus.REQUESTED, InstanceStatus.STARTING])
def test_a_step_that_never_succeeds_is_not_taken_for_ever(tmp_path: Path, status: InstanceStatus) -> None:
    simulation = quiet(tmp_path)
    step_job(simulation)
    if status is InstanceStatus.STARTING:
        step_machine(simulation)
    machine = the_machine(simulation)
    simulation.database.instances.save(replace(machine, wrong="KeyError: 'zone'"))
    simulation.now += 1000
    machine = step_machine(simulation)
    assert (machine.status, machine.wrong) == (InstanceStatus.TERMINATING, "KeyError: 'zone'")


class Unreachable:
    def __init__(self, links: Any) -> None:
        self.forget = links.forget

    def open(self, instance: Instance) -> Any:
        raise errors.RunnerUnreachable("nothing there")


@pytest.mark.parametrize(("wish", "status"), [("abort", JobStatus.ABORTED), ("stop", JobStatus.PROVISIONING)])
def test_an_abort_needs_no_answer_of_the_runner(tmp_path: Path, wish: Any, status: JobStatus) -> None:
    simulation = busy(tmp_path)
    simulation.database.jobs.save(replace(simulation.job(), stop_request=wish))
    step_job(simulation, links=Unreachable(simulation.runners))
    assert simulation.job().status is status


def test_a_broken_store_keeps_no_job_from_being_stopped(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    store = FailingStore()
    store.broken = {"status.json"}
    with pytest.raises(errors.StoreError):
        step_job(simulation, stores={"main": store})
    simulation.database.forget_leases()
    simulation.database.jobs.save(replace(simulation.job(), stop_request="stop"))
    step_job(simulation, stores={"main": store})
    assert simulation.job().status is JobStatus.STOPPING


def test_a_job_on_this_computer_may_run_for_ever(tmp_path: Path) -> None:
    assert the_machine(busy(tmp_path)).deadline is None
    remote = Capabilities(containers=True, default_image=None, remote=True)
    assert longest_run(JobSpec(workflow="w", provider="bash"), remote) == DEFAULT_MAX_DURATION
    assert longest_run(JobSpec(workflow="w", provider="bash", max_duration=60), remote) == 60


class Unlisted(SimBackend):
    def list_owned(self) -> list[Owned]:
        raise errors.Unavailable("the list can't be had")


class LeftADisk(SimBackend):
    def list_owned(self) -> list[Owned]:
        left = [Owned(f"disk:{ref}", ref, left=True) for ref in self.machines]
        return [*left, *super().list_owned()]


def test_what_a_machine_left_behind_is_not_taken_for_it(tmp_path: Path) -> None:
    simulation = quiet(tmp_path)
    step_job(simulation)
    simulation.database.jobs.save(replace(simulation.job(), status=JobStatus.STOPPED))
    backend = LeftADisk(simulation.chance)
    backend.machines[the_machine(simulation).id] = "running"
    assert step_machine(simulation, backends={"main": {"sim": backend}}).ref == the_machine(simulation).id


def test_an_intent_is_let_go_only_after_a_look_for_its_machine(tmp_path: Path) -> None:
    simulation = quiet(tmp_path)
    step_job(simulation)
    simulation.database.jobs.save(replace(simulation.job(), status=JobStatus.STOPPED))
    unlisted = {"main": {"sim": Unlisted(simulation.chance)}}
    with pytest.raises(errors.Unavailable):
        step_machine(simulation, backends=unlisted)
    assert the_machine(simulation).status is InstanceStatus.REQUESTED
    simulation.database.forget_leases()
    simulation.backend.machines[the_machine(simulation).id] = "running"
    assert step_machine(simulation).ref == the_machine(simulation).id
    step_machine(simulation)
    assert simulation.backend.machines == {}


def test_two_projects_that_share_a_backend_reap_only_what_neither_owns(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    shared = {"main": {"sim": simulation.backend}, "other": {"sim": simulation.backend}}
    world = replace(simulation.world, backends=shared)
    assert find_orphans(world) == []
    simulation.backend.machines["orphan"] = "running"
    assert {orphan.machine.ref for orphan in reap(world)} == {"orphan"}
    assert list(simulation.backend.machines) == [the_machine(simulation).id]


def test_a_backend_that_cannot_list_hides_no_orphan_of_another(tmp_path: Path) -> None:
    simulation = quiet(tmp_path)
    simulation.backend.machines["orphan"] = "running"
    backends = {"main": {"a": Unlisted(simulation.chance), "sim": simulation.backend}}
    assert [orphan.backend for orphan in reap(replace(simulation.world, backends=backends))] == ["sim"]


def test_a_machine_that_vanished_ends_its_job(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    simulation.lose_machines()
    assert step_machine(simulation).status is InstanceStatus.TERMINATING
    step_job(simulation)
    assert simulation.job().reason == "lost"


def test_a_machine_that_ended_itself_after_its_job_was_not_lost(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    machine, place = the_machine(simulation), AttemptPlace("shady-1", "train", 1)
    state = {
        "attempt": machine.id,
        "phase": "finished",
        "message": "",
        "exit_code": 0,
        "reason": "",
        "started_at": None,
    }
    simulation.store.put(place.status, json.dumps(state).encode())
    simulation.lose_machines()
    ended = step_machine(simulation)
    assert (ended.status, ended.ending, ended.wrong) == (InstanceStatus.TERMINATING, Ending.NONE, "")
    step_job(simulation)
    assert simulation.job().status is JobStatus.DONE


def late(folder: Path, *, slept: bool) -> Simulation:
    """A machine past its deadline; its server has just woken, or was awake all the time."""
    simulation = busy(folder)
    simulation.now += 10_000
    simulation.world.awake.since = simulation.now if slept else 0.0
    simulation.database.instances.save(replace(the_machine(simulation), deadline=simulation.now - 1))
    return simulation


def test_a_deadline_that_was_slept_through_leaves_time_to_save(tmp_path: Path) -> None:
    simulation = late(tmp_path, slept=True)
    assert step_machine(simulation).status is InstanceStatus.BUSY
    simulation.now += simulation.world.timing.saving + 1
    machine = step_machine(simulation)
    assert (machine.status, machine.ending) == (InstanceStatus.TERMINATING, Ending.FAILED)
    step_job(simulation)
    assert "outlived its max_duration" in simulation.job().message


@pytest.mark.parametrize(
    ("status", "kept"), [(JobStatus.RUNNING, False), (JobStatus.UPLOADING, True), (JobStatus.STOPPING, True)]
)
def test_a_runner_that_answers_may_finish_what_it_saves(tmp_path: Path, status: JobStatus, kept: bool) -> None:
    simulation = late(tmp_path, slept=False)
    simulation.database.jobs.save(replace(simulation.job(), status=status))
    assert (step_machine(simulation).status is InstanceStatus.BUSY) is kept


def test_a_machine_that_died_is_noticed_though_its_connection_looks_well(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    simulation.backend.remote = True
    simulation.cut_at[the_machine(simulation).id] = simulation.now + 1
    simulation.lose_machines()
    assert step_machine(simulation).ending is Ending.LOST


def test_an_unreachable_machine_says_so_until_it_is_back(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    simulation.cut_at[the_machine(simulation).id] = simulation.now
    assert step_machine(simulation).wrong == "unreachable since 00:16 UTC"
    simulation.cut_at.clear()
    assert step_machine(simulation).wrong == ""


def test_a_network_of_ours_that_is_away_for_long_costs_no_machine(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    simulation.backend.remote = True
    simulation.cut_at[the_machine(simulation).id] = simulation.now
    simulation.chance.fault = 1.0
    simulation.now += 3 * simulation.world.timing.unreachable
    assert step_machine(simulation).status is InstanceStatus.BUSY
    # its cloud answers again some seconds before the machine does
    simulation.chance.fault = 0.0
    simulation.now += 10
    assert step_machine(simulation).status is InstanceStatus.BUSY
    simulation.now += simulation.world.timing.unreachable + 1
    assert step_machine(simulation).ending is Ending.LOST


@pytest.mark.parametrize(("told", "kept"), [(-1e9, 1000.0), (1e12, 1000.5), (1000.25, 1000.25), (None, None)])
def test_a_machines_clock_counts_within_ours(tmp_path: Path, told: float | None, kept: float | None) -> None:
    simulation = busy(tmp_path)
    machine, place = the_machine(simulation), AttemptPlace("shady-1", "train", 1)
    state = {
        "attempt": machine.id,
        "phase": "running",
        "message": "",
        "exit_code": None,
        "reason": "",
        "started_at": told,
    }
    simulation.store.put(place.status, json.dumps(state).encode())
    simulation.now += 0.5
    report = reports.read_report(simulation.world, simulation.job(), machine)
    assert report is not None and report.started_at == kept


def test_a_backend_is_asked_to_end_a_machine_once_and_again_after_a_while(tmp_path: Path) -> None:
    simulation = busy(tmp_path)
    stubborn = Stubborn(simulation.chance, machines=simulation.backend.machines)
    backends = {"main": {"sim": stubborn}}
    simulation.database.jobs.save(replace(simulation.job(), status=JobStatus.STOPPED))
    for _ in range(5):
        step_machine(simulation, backends=backends)
    assert stubborn.asked == 1
    simulation.now += 31
    step_machine(simulation, backends=backends)
    assert stubborn.asked == 2


class Stubborn(SimBackend):
    asked = 0

    def terminate(self, refs: Any) -> None:
        self.asked += 1

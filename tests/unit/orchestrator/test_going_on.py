"""A job that loses its machine goes on elsewhere, under a simulated world: once, as a new attempt, and nothing is left."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.jobs import SavedPath
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import instances, jobs, plan
from dstack_cloud.storage import artifacts, layout
from tests.fakes.failing_store import FailingStore
from tests.fakes.simulation import Chance, SimCouriers, Simulation, an_offer


def remote(folder: Path, seed: int = 1, spec: dict[str, Any] | None = None, **chances: float) -> Simulation:
    world = Simulation(folder, Chance(random.Random(seed), **chances), remote=True)
    world.submit(**(spec or {}))
    return world


def until_running(world: Simulation, attempt: int = 1) -> str:
    """The id of the machine it runs on."""
    while (world.job().status, world.job().attempt) != (JobStatus.RUNNING, attempt):
        world.step_once()
        assert not world.job().status.finished, world.job()
    return world.job().instance_id


def check_nothing_is_left(world: Simulation) -> None:
    for _ in range(500):
        world.backend.arrive(world.now)
        world.now += 1
    world.chance.crash = world.chance.fault = world.chance.stay = 0.0
    world.reap()
    assert world.backend.machines == {}
    assert not world.database.instances.alive()
    assert world.runners.keys == set()


def endings(world: Simulation) -> list[Ending]:
    return [launch.ending for launch in world.launches()]


def test_an_interrupted_job_goes_on_as_the_next_attempt(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.backend.catalogue = [an_offer("t0", 1.0), an_offer("t1", 1.2)]
    world.interrupt(until_running(world))
    until_running(world, attempt=2)
    started = world.job().started_at
    world.go()
    job = world.job()
    assert (job.status, job.attempt, job.exit_code, job.started_at) == (JobStatus.DONE, 2, 0, started)
    assert endings(world) == [Ending.INTERRUPTED, Ending.NONE]
    assert [launch.offer.instance_type for launch in world.launches()] == ["t0", "t1"]
    check_nothing_is_left(world)


def test_between_two_attempts_it_says_why_it_waits(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.interrupt(until_running(world))
    while world.job().status is not JobStatus.PENDING:
        world.step_once()
    assert world.job().message == "interrupted on sim r; going on elsewhere"


def test_an_unannounced_death_is_noticed_and_made_good_within_30_seconds(tmp_path: Path) -> None:
    world = remote(tmp_path)
    until_running(world)
    died_at = world.now
    world.lose_machines()
    while world.job().attempt == 1:
        world.step_once()
    assert world.now - died_at <= 30
    world.go()
    assert world.job().status is JobStatus.DONE
    assert endings(world) == [Ending.LOST, Ending.NONE]


def test_one_that_is_out_of_reach_is_ended_before_another_takes_over(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.runners.life = ("downloading", *["running"] * 100_000)
    world.cut_at[until_running(world)] = world.now
    cut_at = world.now
    while world.job().attempt == 1:
        world.step_once()
        world.check()
    assert world.now - cut_at >= world.world.timing.unreachable - 5
    assert world.launches()[0].wrong.startswith("unreachable for ")
    assert len(world.backend.machines) <= 1


@pytest.mark.parametrize(("wish", "status"), [("stop", JobStatus.STOPPED), ("abort", JobStatus.ABORTED)])
@pytest.mark.parametrize("lose", [Simulation.lose_machines, lambda world: world.interrupt(world.job().instance_id)])
def test_a_wish_to_stop_holds_between_two_attempts(
    tmp_path: Path, wish: Any, status: JobStatus, lose: Callable[[Simulation], None]
) -> None:
    world = remote(tmp_path)
    until_running(world)
    lose(world)
    while world.job().status is not JobStatus.PENDING:
        world.step_once()
    world.database.jobs.save(replace(world.job(), stop_request=wish))
    world.database.jobs.wake(world.job().id, now=world.now)
    world.go()
    assert (world.job().status, world.job().attempt) == (status, 1)
    check_nothing_is_left(world)


@pytest.mark.parametrize(("wish", "kept"), [("stop", True), ("abort", False)])
def test_what_was_saved_on_the_way_goes_with_an_abort_between_two_attempts(
    tmp_path: Path, wish: Any, kept: bool
) -> None:
    world = remote(tmp_path, spec={"artifacts": (SavedPath(path="out"),)})
    world.interrupt(until_running(world))
    place = layout.JobPlace(world.job().run_name, world.job().name)
    store = world.world.store_of(world.job())
    artifacts.publish(store, place, Manifest(place.run, place.job, 1, complete=False))
    while world.job().status is not JobStatus.PENDING:
        world.step_once()
    world.database.jobs.save(replace(world.job(), stop_request=wish))
    world.go()
    assert (artifacts.load_manifest(store, place) is not None) is kept


def test_a_job_that_loses_ten_machines_says_which(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.runners.life = ("downloading", *["running"] * 1000)
    for attempt in range(1, 11):
        until_running(world, attempt)
        world.lose_machines()
    world.go()
    assert world.job().status is JobStatus.FAILED
    assert world.job().message.startswith("10 machines were lost without notice: attempt 1 on sim r: ")
    check_nothing_is_left(world)


def test_a_job_that_has_used_up_its_time_is_not_tried_again(tmp_path: Path) -> None:
    world = remote(tmp_path, spec={"max_duration": 100})
    machine = until_running(world)
    world.now += 101
    world.interrupt(machine)
    world.go()
    assert (world.job().status, world.job().reason) == (JobStatus.FAILED, "max_duration")


@pytest.mark.parametrize(
    ("lose", "reason", "said"),
    [
        (Simulation.interrupt, "interrupted", "interrupted on sim r"),
        (lambda world, _: world.lose_machines(), "lost", "the machine was lost on sim r (the machine is gone)"),
    ],
)
def test_without_retry_a_job_that_lost_its_machine_is_not_begun_again(
    tmp_path: Path, lose: Callable[[Simulation, str], None], reason: str, said: str
) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 0})
    lose(world, until_running(world))
    world.go()
    job = world.job()
    assert (job.status, job.reason, job.attempt) == (JobStatus.FAILED, reason, 1)
    assert job.message == f"{said}; it isn't begun again, because its workflow says `retry: false`"
    check_nothing_is_left(world)


def test_without_retry_each_offer_is_tried_once(tmp_path: Path) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 0})
    world.backend.refuse = 10**6
    world.go()
    assert (world.job().status, len(world.launches())) == (JobStatus.FAILED, 4)


def test_without_retry_a_machine_that_never_answered_is_as_one_that_was_refused(tmp_path: Path) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 0})
    while not world.launches() or world.launches()[0].status is not InstanceStatus.STARTING:
        world.step_once()
    mute = replace(world.launches()[0], ending=Ending.MUTE)
    decided = plan.go_on(world.job(), mute, [mute], None, world.now)
    assert (decided.status, decided.attempt) == (JobStatus.PENDING, 1)


@pytest.mark.parametrize("seed", range(10))
def test_without_retry_no_job_is_begun_twice_whatever_goes_wrong(tmp_path: Path, seed: int) -> None:
    world = remote(
        tmp_path, seed, {"retry_seconds": 0},
        crash=0.05, fault=0.1, late=0.1, interrupt=0.03, lose=0.01, stop=0.01, stay=0.1, cut=0.003,
    )  # fmt: skip
    world.go(rounds=20_000)
    assert world.job().status in (JobStatus.DONE, JobStatus.FAILED)
    ran = [key for key in world.runners.started if "running" not in world.runners.phases[key]]
    assert len(ran) <= 1
    check_nothing_is_left(world)


def test_a_job_with_a_budget_waits_for_capacity(tmp_path: Path) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 600})
    world.backend.refuse = 10
    while not world.job().message.startswith("4 offers tried: 4 no capacity; waiting to try again, until "):
        world.step_once()
    assert world.job().status is JobStatus.PENDING
    world.go()
    assert (world.job().status, world.job().attempt, world.job().round) == (JobStatus.DONE, 1, 2)


def test_a_budget_ends(tmp_path: Path) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 300})
    world.backend.refuse = 10**6
    world.go()
    assert world.job().status is JobStatus.FAILED
    assert f"4 offers tried, {world.job().round + 1} times: 4 no capacity" in world.job().message
    assert 1200 < world.now < 1310
    assert len(world.launches()) == 4 * (world.job().round + 1)


@pytest.mark.parametrize("error", [errors.NotAuthorized("no"), errors.InvalidConfiguration("no such image")])
def test_what_waiting_cannot_mend_is_not_waited_for(tmp_path: Path, error: errors.BackendError) -> None:
    world = remote(tmp_path, spec={"retry_seconds": 36_000})
    world.backend.refusals = {each.key: error for each in world.backend.catalogue}
    world.go()
    assert (world.job().status, world.job().message) == (JobStatus.FAILED, error.summary)


def test_a_call_that_never_gets_a_clear_answer_is_given_up_and_the_next_offer_tried(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.backend.catalogue = [an_offer("t0", 1.0), an_offer("t1", 2.0, region="r2")]
    world.backend.refusals = {world.backend.catalogue[0].key: errors.Unavailable("no answer")}
    world.go()
    assert world.job().status is JobStatus.DONE
    first, second = world.launches()
    assert (first.status, first.wrong) == (InstanceStatus.REFUSED, "Unavailable: no answer")
    assert (
        first.terminated_at or 0
    ) - first.created_at >= world.world.timing.refused_retry + world.world.timing.absence
    assert second.offer.instance_type == "t1"


def test_a_machine_whose_making_was_never_confirmed_is_found_and_used(tmp_path: Path) -> None:
    world = remote(tmp_path)
    world.backend.refusals = {each.key: errors.Unavailable("no answer") for each in world.backend.catalogue}
    world.step_once()
    world.backend.coming[world.launches()[0].id] = world.now + 100
    world.go()
    assert (world.job().status, world.job().attempt) == (JobStatus.DONE, 1)
    assert len(world.launches()) == 1


@pytest.mark.parametrize("seed", range(60))
def test_whatever_goes_wrong_every_job_ends_and_nothing_is_left(tmp_path: Path, seed: int) -> None:
    world = remote(
        tmp_path, seed, {"retry_seconds": 3600},
        crash=0.05, fault=0.1, late=0.1, interrupt=0.03, lose=0.01, stop=0.01, stay=0.1, cut=0.003,
    )  # fmt: skip
    world.backend.refuse = seed % 7
    world.go(rounds=20_000)
    assert world.job().status in (JobStatus.DONE, JobStatus.FAILED)
    check_nothing_is_left(world)


def uploading(world: Simulation, *, ended: float, noticed: bool = False) -> None:
    """Its machine is gone; the last it said is that it saves what the job left, which ended so long ago (seconds)."""
    machine = until_running(world)
    times = {"started_at": world.now, "ended_at": world.now + 1, "notice_at": world.now if noticed else None}
    state = {"attempt": machine, "phase": "uploading", "message": "", "exit_code": 0, "reason": "", **times}
    world.store.put("runs/shady-1/train/attempts/1/status.json", json.dumps({**state, "warnings": []}).encode())
    world.now += ended
    world.lose_machines()


def test_a_machine_that_could_not_save_for_long_is_not_tried_again(tmp_path: Path) -> None:
    world = remote(tmp_path)
    uploading(world, ended=1900)
    world.go()
    job = world.job()
    assert (job.status, job.reason, job.attempt) == (JobStatus.FAILED, "output", 1)
    assert "could not save them in its project's store" in job.message
    check_nothing_is_left(world)


@pytest.mark.parametrize(("ended", "noticed"), [(60, False), (1900, True)])
def test_a_machine_that_was_lost_while_it_saved_is(tmp_path: Path, ended: float, noticed: bool) -> None:
    world = remote(tmp_path)
    uploading(world, ended=ended, noticed=noticed)
    world.go()
    assert (world.job().status, world.job().attempt) == (JobStatus.DONE, 2)


def test_a_store_that_went_with_the_machine_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    world, store = remote(tmp_path), FailingStore()
    until_running(world)
    world.lose_machines()
    while world.database.instances.alive():
        (machine,) = world.database.instances.claim("w", now=world.now + 1000, lease=60, limit=1)
        instances.step(world.world, SimCouriers(world), machine)  # type: ignore[arg-type]
    store.broken = {"status.json"}
    broken = replace(world.world, stores={"main": store})
    with pytest.raises(errors.StoreError):
        jobs.step(broken, world.job())
    world.now += broken.timing.saving + 1
    jobs.step(broken, world.job())
    assert (world.job().status, world.job().reason) == (JobStatus.FAILED, "output")
    assert "its project's store can't be read: no answer for" in world.job().message

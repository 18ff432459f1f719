"""What the runner of a job said last, as it lies in the store."""

from __future__ import annotations

import json

from dstack_cloud import errors
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import plan
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import layout

# what a job is whose runner was told so
STOPPING = {"stop": JobStatus.STOPPING, "abort": JobStatus.ABORTING}


def last_word(world: World, job: Job, instance: Instance) -> tuple[plan.RunnerReport | None, tuple[str, str] | None]:
    """(the report, None), or (None, why the job can't go on: reason and message) where it won't ever be readable. Raises
    StoreError where it may be soon."""
    try:
        return read_report(world, job, instance), None
    except errors.StoreError as error:
        # a store that fails must not keep a job from being stopped, or from failing where nothing more can come
        if job.stop_request or instance.ending is Ending.FAILED:
            return None, None
        if not _long_gone(world, instance):
            raise
        said = f"its machine is gone, and {store_name(world, job)} can't be read: {error.summary}"
        return None, ("output", said)


def read_report(world: World, job: Job, instance: Instance) -> plan.RunnerReport | None:
    """The runner's last word in the store; None while there is none."""
    place = layout.AttemptPlace(job.run_name, job.name, instance.attempt)
    try:
        raw = json.loads(world.store_of(job).get(place.status))
    except errors.NotFound:
        return None
    if raw.get("attempt") != instance.id:
        return None
    return plan.RunnerReport(
        phase=raw["phase"],
        message=raw["message"] or "; ".join(raw.get("warnings", [])),
        exit_code=raw["exit_code"],
        reason=raw["reason"],
        started_at=_bounded(raw["started_at"], instance, world.clock()),
        noticed=raw.get("notice_at") is not None,
        ran=_lasted(raw["started_at"], raw.get("ended_at")),
        ended_at=_bounded(raw.get("ended_at"), instance, world.clock()),
    )


def _bounded(moment: float | None, instance: Instance, now: float) -> float | None:
    """A machine's clock may be wrong by any time: what it says is held within what ours has seen."""
    if moment is None:
        return None
    return min(max(moment, instance.started_at or instance.created_at), now)


def _lasted(started_at: float | None, ended_at: float | None) -> float | None:
    """Seconds by the machine's clock, of which only the difference counts; None while it runs."""
    return None if started_at is None or ended_at is None else max(ended_at - started_at, 0.0)


def _long_gone(world: World, instance: Instance) -> bool:
    """A machine that ended while nobody could read what it said last: a store that is away for a moment is waited for."""
    now, ended = world.clock(), instance.terminated_at
    if instance.status is not InstanceStatus.TERMINATED or ended is None:
        return False
    return world.awake.count(now - ended, now) > world.timing.saving


def store_name(world: World, job: Job) -> str:
    access = world.access.get(job.project)
    return "its project's store" if access is None else access.url

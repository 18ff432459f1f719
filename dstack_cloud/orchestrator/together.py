"""The rows of jobs that run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.orchestrator import groups
from dstack_cloud.orchestrator.world import World

UP = frozenset({InstanceStatus.STARTING, InstanceStatus.BUSY})
ENDING = frozenset({JobStatus.STOPPING, JobStatus.ABORTING})


def members(world: World, job: Job) -> list[Job]:
    """All nodes in order of rank, that job as it is given."""
    if job.spec.nodes == 1:
        return [job]
    others = world.database.jobs.of_runs([job.run_id])
    together = [each for each in others if each.spec.workflow == job.spec.workflow and each.id != job.id]
    return sorted([job, *together], key=lambda each: each.node)


def save(world: World, job: Job, *, next_check_in: float | None) -> None:
    """Records a decision about a job that has no machine: it holds for all of its nodes."""
    first, *others = members(world, job)
    save_all(world, [first, *(groups.like(other, job) for other in others)], next_check_in=next_check_in)


def save_all(world: World, jobs: Sequence[Job], *, next_check_in: float | None) -> None:
    """Together; the first one's lease is given back. Raises Stale where one of them has changed meanwhile."""
    first, *others = jobs
    if not others:
        world.save_job(first, next_check_in=next_check_in)
        return
    with world.database.transaction():
        for other in others:
            due = None if other.status.finished else world.clock() + world.timing.waiting
            world.database.jobs.save(replace(other, next_check_at=due), release=False)
        world.save_job(first, next_check_in=next_check_in)
    # again, for whoever looked before the rows were committed
    world.changes.notify()


def leave_to_first(world: World, job: Job) -> None:
    """What concerns one node is decided with all of them."""
    world.wake_job(f"{job.run_name}.{job.spec.workflow}")
    world.save_job(job, next_check_in=world.timing.waiting)


def addresses(world: World, job: Job) -> list[str]:
    """Of all nodes, in order of rank; none of them while one of their machines isn't up, or they are to end."""
    jobs = members(world, world.database.jobs.get(job.id) or job)
    if any(each.status in ENDING or each.stop_request for each in jobs):
        return []
    there = [each.address for each in machines(world, jobs) if each is not None and each.status in UP and each.address]
    return there if len(there) == len(jobs) else []


def machines(world: World, jobs: Sequence[Job]) -> list[Instance | None]:
    """What each of them has now, read at once: every node's step asks for all of them."""
    found = {each.id: each for each in world.database.instances.of_jobs([job.id for job in jobs])}
    return [found.get(job.instance_id) for job in jobs]


def wake_machines(world: World, job: Job) -> None:
    for each in members(world, job):
        world.wake_instance(each.instance_id)


def last_started(world: World, job: Job) -> float | None:
    """When the last of their machines was made; None: not all are."""
    found = machines(world, members(world, job))
    starts = [each.started_at for each in found if each is not None and each.started_at is not None]
    return max(starts) if len(starts) == len(found) else None

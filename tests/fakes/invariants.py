"""What holds in every moment of a simulated world."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, JobStatus

if TYPE_CHECKING:
    from tests.fakes.simulation import Simulation


def check_job(world: Simulation, job: Job) -> None:
    launches = world.launches(job.name)
    working = [launch for launch in launches if launch.id in world.runners.working()]
    assert len(working) <= 1, "two machines work on the job"
    coming = [each for each in launches if each.status.alive and each.status is not InstanceStatus.TERMINATING]
    assert len(coming) <= 1, "two machines are meant for the job"
    ran = Counter(launch.attempt for launch in launches if launch.id in world.runners.started)
    assert all(count == 1 for count in ran.values()), "an attempt's number was used twice"
    needed = [world.job(need.job).status for need in job.awaited]
    assert not launches or set(needed) <= {JobStatus.DONE}, "a machine was asked for before its time"
    if job.spec.nodes > 1:
        _check_nodes(world, job, launches)


def _check_nodes(world: Simulation, job: Job, launches: list[Instance]) -> None:
    """All or none: of one try, each with the addresses of all; and all have ended, or none has."""
    group = [other for other in world.jobs() if other.spec.workflow == job.spec.workflow]
    assert len({other.status.finished for other in group}) == 1, "some have ended, and others not"
    assert len({(other.attempt, bool(other.instance_id)) for other in group}) == 1, "not all have a machine"
    for launch in launches:
        if launch.id in world.runners.started:
            assert len(world.runners.nodes[launch.id]) == len(group), "handed over before all were up"
            assert f"10.{launch.id}" == world.runners.nodes[launch.id][job.node]

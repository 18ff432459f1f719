"""What holds in every moment for jobs that run together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstack_cloud.domain.runs import Instance, Job

if TYPE_CHECKING:
    from tests.fakes.simulation import Simulation


def check_nodes(world: Simulation, job: Job, launches: list[Instance]) -> None:
    """All or none: of one try, each with the addresses of all; and all have ended, or none has."""
    group = [other for other in world.jobs() if other.spec.workflow == job.spec.workflow]
    assert len({other.status.finished for other in group}) == 1, "some have ended, and others not"
    assert len({(other.attempt, bool(other.instance_id)) for other in group}) == 1, "not all have a machine"
    for launch in launches:
        if launch.id in world.runners.started:
            assert len(world.runners.nodes[launch.id]) == len(group), "handed over before all were up"
            assert f"10.{launch.id}" == world.runners.nodes[launch.id][job.node]

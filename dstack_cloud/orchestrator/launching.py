"""What a backend is told of the machine to make."""

from __future__ import annotations

from dstack_cloud.backends.base import Capabilities, Launch
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.orchestrator.dispatch import time_left
from dstack_cloud.orchestrator.world import World


def lifetime_of(world: World, job: Job, capabilities: Capabilities) -> float | None:
    """Seconds after which the machine of this attempt must be gone whatever happens; None: never."""
    left = time_left(job, capabilities)
    return None if left is None else world.timing.preparing + left + world.timing.saving


def launch_of(world: World, instance: Instance, job: Job, capabilities: Capabilities) -> Launch:
    """The same again for the same row: a create call that is repeated with other parameters is an error on some clouds."""
    requirements = job.spec.requirements
    return Launch(
        key=instance.id,
        offer=instance.offer,
        user_data=world.links.prepare(instance) if capabilities.remote and capabilities.ephemeral else "",
        lifetime=lifetime_of(world, job, capabilities) or 0.0,
        tags={
            "dstack-owner": world.installation,
            "dstack-project": instance.project,
            "dstack-run": instance.run_name,
            "dstack-job": job.name,
            "dstack-attempt": str(instance.attempt),
        },
        disk=requirements.disk,
        store=_store_url(world, instance.project),
        gpus=requirements.gpu.count if requirements.gpu else 0,
        nodes=requirements.nodes,
    )


def _store_url(world: World, project: str) -> str:
    """ "" where machines can't be let into the project's store."""
    access = world.access.get(project)
    return "" if access is None or access.foreign else access.url

"""Whose turn it is on machines that stay: each takes so many jobs at once, the others wait without limit."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud.backends.base import Backend, Pool
from dstack_cloud.domain.refusals import code_of
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator.world import World


def divide(world: World, project: str, backend: Backend, offers: Sequence[Offer]) -> tuple[list[Offer], list[str]]:
    """(the offers that may be taken now, why the others may not). What others than this server have there, `create` finds out."""
    if not offers or not isinstance(backend, Pool):
        return list(offers), []
    places = {machine.name: machine.slots for machine in backend.pool()}
    runs: dict[str, list[str]] = {}
    for instance in world.database.instances.alive():
        if (instance.project, instance.offer.backend) == (project, backend.name):
            runs.setdefault(instance.offer.instance_type, []).append(instance.run_name)
    full = {name for name, there in runs.items() if len(there) >= places.get(name, 1)}
    free = [offer for offer in offers if offer.instance_type not in full]
    busy = dict.fromkeys(offer.instance_type for offer in offers if offer.instance_type in full)
    return free, [f"{name} is busy: it runs {', '.join(sorted(runs[name]))}" for name in busy]


def all_taken(world: World, job: Job, refused: Sequence[Instance]) -> bool:
    """Whether machines that stay have other jobs now: they can be queued for."""
    names = {launch.offer.backend for launch in refused if code_of(launch.wrong) == "NoCapacity"}
    known = world.backends.get(job.project, {})
    return any(name in known and not known[name].capabilities.ephemeral for name in names)


def give(world: World, left: Instance) -> None:
    """Has those look again who may wait for the place that was left, the first to come first."""
    backend = world.backends.get(left.project, {}).get(left.offer.backend)
    if backend is None or backend.capabilities.ephemeral:
        return
    waiting = [job for job in world.database.jobs.unfinished(left.project) if job.status is JobStatus.PENDING]
    for job in sorted(waiting, key=lambda job: job.submitted_at):
        world.wake_job(job.id)

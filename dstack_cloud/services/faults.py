"""Breaking a run's machine on purpose, and what had been saved by then."""

from __future__ import annotations

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.backends.base import Breakable, Fault
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.storage import layout


def inflict(context: Context, project: str, name: str, request: schemas.FaultRequest) -> schemas.RunView:
    """Does it to each machine of a run, or of one job. Raises Conflict where it has none, or one that isn't for breaking."""
    run, jobs = runs.find(context, project, name)
    fault = _fault(request["fault"])
    machines = [machine for job in jobs if (machine := _machine(context, job)) is not None]
    if not machines:
        raise errors.Conflict(f"{name} has no machine now", "a machine can be broken while its job is unfinished")
    for machine in machines:
        backend = context.world.backend_of(machine)
        if not isinstance(backend, Breakable):
            raise errors.Conflict(
                f"{name} runs on {machine.offer.backend}, whose machines aren't broken on purpose",
                "rehearse on the sandbox: `dstack rehearse WORKFLOW`",
            )
        backend.inflict(machine.ref, fault, request["value"])
    return runs.view(context, run)


def list_saves(context: Context, project: str, name: str) -> list[schemas.SaveView]:
    """What a run's jobs have saved so far, oldest first."""
    run, jobs = runs.find(context, project, name)
    store, found = context.store(project), []
    for job in jobs:
        for item in store.list(layout.JobPlace(run.name, job.name).manifests):
            try:
                manifest = Manifest.from_json(store.get(item.key))
            except errors.NotFound:
                continue  # a newer one has taken its place
            found.append(_view(job.name, manifest, item.modified_at))
    return found


def _view(job: str, manifest: Manifest, saved_at: float) -> schemas.SaveView:
    return {
        "job": job,
        "attempt": manifest.attempt,
        "complete": manifest.complete,
        "saved_at": saved_at,
        "files": manifest.files,
        "size": manifest.size,
    }


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        known = ", ".join(fault.value for fault in Fault)
        raise errors.UsageError(f"there is no fault {name!r}", f"there are: {known}") from None


def _machine(context: Context, job: Job) -> Instance | None:
    instance = context.world.database.instances.get(job.instance_id) if job.instance_id else None
    reachable = instance is not None and instance.status in (InstanceStatus.STARTING, InstanceStatus.BUSY)
    return instance if reachable and not job.status.finished else None

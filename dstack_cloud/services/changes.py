"""Changes of the working folder on their way to a job that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zstandard import ZstdError

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.storage.packing import unpacked

NOT_RUNNING = 409


def send(context: Context, project: str, name: str, attempt: int, packed: Iterable[bytes]) -> schemas.ChangesView:
    """`packed`: a tar stream in zstandard. Raises NotFound, UsageError for several jobs or nodes, Conflict where that attempt doesn't
    run now, RunnerError."""
    _, jobs = runs.find(context, project, name)
    if len(jobs) > 1:
        raise errors.UsageError(f"{name} has {len(jobs)} jobs, and changes are sent to one", f"name it: {jobs[0].id}")
    instance = _machine(context, jobs[0], attempt)
    try:
        return {"kept": context.world.links.open(instance).put_changes(_tar(packed))}
    except LinkError as error:
        if error.status == NOT_RUNNING:
            raise _not_running(jobs[0]) from error
        raise errors.RunnerError(f"the changes didn't reach {jobs[0].id}: {error}", "they are sent again") from error


def _machine(context: Context, job: Job, attempt: int) -> Instance:
    instance = context.world.database.instances.get(job.instance_id) if job.instance_id else None
    busy = instance is not None and instance.status is InstanceStatus.BUSY
    if instance is None or not busy or job.status is not JobStatus.RUNNING or job.attempt != attempt:
        raise _not_running(job)
    return instance


def _not_running(job: Job) -> errors.Conflict:
    return errors.Conflict(f"{job.id} doesn't run now", "changes are sent while it does")


def _tar(packed: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from unpacked(iter(packed))
    except ZstdError as error:
        raise errors.UsageError(f"the changes can't be read: {error}", "send them as `packing.pack` does") from error

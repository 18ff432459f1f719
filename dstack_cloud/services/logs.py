"""A job's log as one stream: live from the runner while it runs, from the store for what has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dstack_cloud import errors
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.services.context import Context
from dstack_cloud.storage import layout
from dstack_cloud.storage.logs import LogReader

RETRY = 0.2
# how long a follower listens to a silent job before it looks whether anybody still listens to it, seconds
SILENCE = 20.0


@dataclass(frozen=True)
class LogRequest:
    """`since` is UTC seconds; `attempt` None means all attempts, one after the other."""

    follow: bool = False
    since: float | None = None
    attempt: int | None = None


def read_log(context: Context, job_id: str, request: LogRequest, *, offset: int = 0) -> Iterator[bytes]:
    """From byte `offset` of what is asked for. An empty chunk now and then says only that nothing came."""
    attempt = request.attempt or 1
    while True:
        job = _job(context, job_id)
        launch = _launch(context, job, attempt)
        if launch is not None:
            for chunk in _attempt_log(context, job, attempt, request):
                skipped = min(offset, len(chunk))
                offset -= skipped
                if chunk[skipped:] or not chunk:
                    yield chunk[skipped:]
        job = _job(context, job_id)
        more = request.attempt is None and attempt < job.attempt
        if more:
            attempt += 1
        elif job.status.finished or not request.follow or (request.attempt and launch is not None):
            return
        else:
            yield b""
            context.world.changes.wait(context.world.changes.count, RETRY)


def check_attempt(jobs: Sequence[Job], request: LogRequest) -> None:
    """Raises NotFound for an attempt that none of the jobs had, nor may still have while it is followed."""
    wanted = request.attempt
    if wanted is None or any(job.attempt >= wanted or (request.follow and not job.status.finished) for job in jobs):
        return
    had = ", ".join(f"{job.id}: {job.attempt}" for job in jobs)
    raise errors.NotFound(f"there is no attempt {wanted}", f"attempts so far: {had}")


def _job(context: Context, job_id: str) -> Job:
    job = context.world.database.jobs.get(job_id)
    if job is None:
        raise errors.NotFound(f"there is no job {job_id!r}", "it was removed")
    return job


def _launch(context: Context, job: Job, attempt: int) -> Instance | None:
    """The launch of that attempt which came to run, or the last one tried."""
    launches = [i for i in context.world.database.instances.of_jobs([job.id]) if i.attempt == attempt]
    started = [launch for launch in launches if launch.status is not InstanceStatus.REFUSED]
    return started[-1] if started else None


def _attempt_log(context: Context, job: Job, attempt: int, request: LogRequest) -> Iterator[bytes]:
    place = layout.AttemptPlace(job.run_name, job.name, attempt)
    reader = LogReader(context.store(job.project), place)
    position = 0
    if request.since is not None:
        position = reader.offset_since(request.since, _live_times(context, _launch(context, job, attempt)))
    while True:
        launch = _launch(context, job, attempt)
        running = launch is not None and launch.status is InstanceStatus.BUSY
        if running and launch is not None:
            for chunk in _live(context, launch, position, follow=request.follow):
                position += len(chunk)
                yield chunk
        for chunk in reader.read(position):
            position += len(chunk)
            yield chunk
        if not request.follow or _over(context, job.id, attempt):
            yield from reader.read(position)
            return
        yield b""
        context.world.changes.wait(context.world.changes.count, RETRY)


def _live(context: Context, launch: Instance, position: int, *, follow: bool) -> Iterator[bytes]:
    """Ends quietly when the runner can't be reached: the store, or the next try, has the rest."""
    try:
        yield from context.world.links.open(launch).log(position, follow, SILENCE)
    except (LinkError, errors.RunnerUnreachable, errors.SshError):
        return


def _live_times(context: Context, launch: Instance | None) -> bytes:
    """When the bytes of a log that still grows came; b"" where the store knows as much."""
    if launch is None or launch.status is not InstanceStatus.BUSY:
        return b""
    try:
        return context.world.links.open(launch).log_times()
    except (LinkError, errors.RunnerUnreachable, errors.SshError):
        return b""


def _over(context: Context, job_id: str, attempt: int) -> bool:
    job = _job(context, job_id)
    return job.status.finished or job.attempt > attempt

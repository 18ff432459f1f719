"""Outputs that no job made: a finished run with a tag, for others to depend on."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.jobs import UPLOAD, JobSpec, SavedPath
from dstack_cloud.domain.parsing.values import LONGEST_NAME, inside, is_name
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Job, Run
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.storage import artifacts, layout

log = logging.getLogger(__name__)


def put(context: Context, project: str, name: str, tag: str, path: str, chunks: Iterable[bytes]) -> schemas.RunView:
    """`chunks` is a tar stream of what lies at `path`; `name` stands where a workflow's name does. Raises UsageError, StoreError or
    RunnerError where the stream breaks off, and Conflict where it is stopped: nothing stays then."""
    _check("tag", tag)
    _check("name", name)
    store = context.store(project)
    run, job = _reserve(context, project, name, path)
    try:
        place = layout.AttemptPlace(run.name, name, 1)
        manifest = artifacts.save_artifacts(store, place, _until_stopped(context, job, chunks))
        artifacts.publish(store, layout.JobPlace(run.name, name), manifest)
        _finish(context, job, tag)
    except BaseException:
        _undo(context, job)
        raise
    finally:
        context.world.receiving.discard(run.id)
    return runs.view(context, replace(run, tag=tag))


def _reserve(context: Context, project: str, name: str, path: str) -> tuple[Run, Job]:
    """The rows come first: from then on nobody else takes the name. No step is due for them; the tag counts from the end on."""
    spec = JobSpec(workflow=name, provider=UPLOAD, artifacts=(SavedPath(path=inside(path)),))
    while True:
        now, run_name = context.world.clock(), runs.free_name(context)
        run = Run(uuid.uuid4().hex, project, run_name, name, None, created_at=now)
        job = Job(
            id=f"{run_name}.{name}", run_id=run.id, project=project, run_name=run_name, name=name, spec=spec,
            status=JobStatus.UPLOADING, attempt=1, submitted_at=now, next_check_at=None,
        )  # fmt: skip
        context.world.receiving.add(run.id)
        if runs.add(context, run, [job]):
            context.world.changes.notify()
            return run, job
        context.world.receiving.discard(run.id)


def _until_stopped(context: Context, job: Job, chunks: Iterable[bytes]) -> Iterator[bytes]:
    seen = context.world.changes.count
    for chunk in chunks:
        if (count := context.world.changes.count) != seen:
            seen = count
            _wanted(context, job)
        yield chunk


def _wanted(context: Context, job: Job) -> Job:
    """As it is now. Raises Conflict where it was stopped."""
    fresh = context.world.database.jobs.get(job.id)
    if fresh is None or fresh.run_id != job.run_id or fresh.stop_request or fresh.status.finished:
        raise errors.Conflict(f"the upload of {job.run_name} was stopped", "run the command again")
    return fresh


def _finish(context: Context, job: Job, tag: str) -> None:
    database = context.world.database
    while True:
        fresh = _wanted(context, job)
        done = replace(fresh, status=JobStatus.DONE, finished_at=context.world.clock(), next_check_at=None)
        try:
            with database.transaction():
                database.runs.set_tag(job.run_id, tag)
                database.jobs.save(done, release=False)
        except Stale:
            continue
        context.world.changes.notify()
        return


def _undo(context: Context, job: Job) -> None:
    """The objects go before the rows, which hold the name. Where a store or a database that fails keeps some, the run stays, as
    failed, for `dstack rm`."""
    database = context.world.database
    try:
        if (mine := database.jobs.get(job.id)) is None or mine.run_id != job.run_id:
            return
        artifacts.discard(context.store(job.project), layout.JobPlace(job.run_name, job.name))
        database.runs.delete(job.run_id)
    except errors.DstackError as error:
        log.warning("what came of %s stays: %s", job.id, error.summary)
        context.world.receiving.discard(job.run_id)
        _leave_to_a_step(context, job)
    context.world.changes.notify()


def _leave_to_a_step(context: Context, job: Job) -> None:
    """Which ends it as one of a server that was killed."""
    try:
        context.world.wake_job(job.id)
    except errors.DstackError as error:
        # the next server does, when it starts
        log.warning("%s stays unfinished: %s", job.id, error.summary)


def _check(what: str, given: str) -> None:
    if not is_name(given):
        raise errors.UsageError(
            f"`{given}` can't be a {what}",
            f"give one with --{what}: letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at most, with no `-` at its beginning",
        )

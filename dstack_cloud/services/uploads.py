"""Outputs that no job made: a finished run with a tag, for others to depend on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.jobs import UPLOAD, JobSpec, SavedPath
from dstack_cloud.domain.parsing.values import LONGEST_NAME, inside, is_name
from dstack_cloud.domain.runs import Job, Run
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.storage import artifacts, layout


def put(context: Context, project: str, name: str, tag: str, path: str, chunks: Iterable[bytes]) -> schemas.RunView:
    """`chunks` is a tar stream of what lies at `path`; `name` stands where a workflow's name does. Raises UsageError, and StoreError
    or RunnerError where the stream breaks off: nothing stays then."""
    _check("tag", tag)
    _check("name", name)
    store, now = context.store(project), context.world.clock()
    run_name = runs.free_name(context)
    place = layout.AttemptPlace(run_name, name, 1)
    try:
        manifest = artifacts.save_artifacts(store, place, chunks)
        artifacts.publish(store, layout.JobPlace(run_name, name), manifest)
    except BaseException:
        artifacts.discard(store, layout.JobPlace(run_name, name))
        raise
    run = Run(uuid.uuid4().hex, project, run_name, name, None, tag, created_at=now)
    spec = JobSpec(workflow=name, provider=UPLOAD, artifacts=(SavedPath(path=inside(path)),))
    job = Job(
        id=f"{run_name}.{name}", run_id=run.id, project=project, run_name=run_name, name=name, spec=spec,
        status=JobStatus.DONE, attempt=1, submitted_at=now, finished_at=context.world.clock(), next_check_at=None,
    )  # fmt: skip
    runs.add_finished(context, run, job)
    return runs.view(context, run)


def _check(what: str, given: str) -> None:
    if not is_name(given):
        raise errors.UsageError(
            f"`{given}` can't be a {what}",
            f"give one with --{what}: letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at most, with no `-` at its beginning",
        )

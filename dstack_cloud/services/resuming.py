"""Starting again what has ended: the same code and environment, as the next attempt."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.jobs import UPLOAD
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Job, Run
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator.plan import resumed
from dstack_cloud.services import runs, secrets
from dstack_cloud.services.context import Context
from dstack_cloud.storage import artifacts, code, layout
from dstack_cloud.storage.logs import LogReader


def resume(context: Context, project: str, name: str) -> schemas.ResumedView:
    """One job goes on, with all of its nodes and the artifacts that it saved. Raises UsageError where `name` stands for several,
    Conflict while it runs."""
    run, jobs = runs.find_whole(context, project, name)
    if len({job.spec.workflow for job in jobs}) > 1:
        named = [job.id for job in jobs if job.node == 0]
        known = ", ".join(named)
        raise errors.UsageError(f"{name} has {len(named)} jobs", f"name one: {known}; or `dstack restart {name}`")
    return _start_again(context, run, jobs, clear=False)


def restart(context: Context, project: str, name: str, *, clear: bool) -> schemas.ResumedView:
    """The jobs of a run that didn't end well go on; with `clear` all of them begin anew, with nothing saved. Raises UsageError for
    the id of one job, Conflict while one runs, or where all have ended well."""
    run, jobs = runs.find(context, project, name)
    if name != run.name:
        raise errors.UsageError(f"{name} is one job of a run", f"`dstack resume {name}`, or name {run.name}")
    chosen = [job for job in jobs if clear or job.status is not JobStatus.DONE]
    if not chosen:
        raise errors.Conflict(f"all of {name} is done", "`--clear` runs it from the beginning, without what it saved")
    return _start_again(context, run, chosen, clear=clear)


def _start_again(context: Context, run: Run, jobs: Sequence[Job], *, clear: bool) -> schemas.ResumedView:
    for job in jobs:
        _check(context, run, job)
    _, everything = runs.find(context, run.project, run.name)
    logged = {job.name: _logged(context, job) for job in everything}
    for job in jobs:
        if job.status is JobStatus.ABORTED:
            # what its machine had saved on the way is not wanted; what an attempt saved at its end, before, stays
            artifacts.withdraw(context.store(run.project), layout.JobPlace(run.name, job.name))
    _save(context, jobs, clear)
    context.world.changes.notify()
    context.world.wake()
    return {"run": runs.view(context, run), "logged": logged}


def _check(context: Context, run: Run, job: Job) -> None:
    """All that can be found out before: raises Conflict, ConfigurationError."""
    if not job.status.finished:
        raise errors.Conflict(
            f"{job.id} hasn't ended: it is {job.status}",
            f"`dstack attach {run.name}` follows it, `dstack stop` ends it",
        )
    if job.spec.provider == UPLOAD:
        raise errors.Conflict(f"{run.name} was uploaded: there is nothing to run", None)
    if job.code is not None and not code.code_exists(context.store(run.project), job.code.sha256):
        raise errors.Conflict(f"the code of {run.name} isn't in the store any more", "run the workflow again")
    secrets.check_usable(context, run.project, job.spec.secrets, job.spec.workflow)
    context.sealer.open(job.sealed)


def _save(context: Context, jobs: Sequence[Job], clear: bool) -> None:
    """All of them or none. Raises Conflict, also where another run waits for what one of them made."""
    database, now = context.world.database, context.world.clock()
    try:
        with database.transaction():
            runs.check_not_needed(context, jobs)
            for job in jobs:
                database.jobs.save(resumed(job, now, clear=clear))
    except Stale as error:
        raise errors.Conflict(f"{error.row_id} changes just now", "try again in a moment") from error


def _logged(context: Context, job: Job) -> int:
    """The bytes of the log of all its attempts."""
    store, attempts = context.store(job.project), range(1, job.attempt + 1)
    return sum(LogReader(store, layout.AttemptPlace(job.run_name, job.name, each)).size() for each in attempts)

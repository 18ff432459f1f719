"""Submitting, listing, stopping and removing runs."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.git import GitState, without_credentials
from dstack_cloud.domain.names import new_run_name
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import CodeRef, Job, Run, StopRequest, node_name
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import views
from dstack_cloud.services.context import Context
from dstack_cloud.services.pipelines import PlannedJob
from dstack_cloud.services.workflows import Plan, plan_run
from dstack_cloud.storage import code, layout

T = TypeVar("T")

_rng = random.SystemRandom()
MANY = 1_000_000


def submit(context: Context, project: str, request: schemas.RunRequest) -> schemas.RunView:
    """The rows of a new run; the orchestrator does the rest. Where the workflow itself is used again, its earlier run, which
    gets the tag. Raises what `plan_run` raises, and Conflict without the code."""
    source = request["code"]
    if source is not None and not code.code_exists(context.store(project), source["sha256"]):
        raise errors.Conflict("the code of this run isn't in the store", "run the command again")
    while True:
        name = new_run_name(lambda word: _names(context, word), _rng)
        plan = plan_run(context, project, request, run_name=name)
        if (done := plan.jobs[-1].reused) is not None:
            return _tagged(context, project, done.run_name, request["tag"])
        run = Run(
            id=uuid.uuid4().hex,
            project=project,
            name=name,
            workflow=plan.workflow.name,
            code=None if source is None else CodeRef(**source),
            tag=request["tag"],
            variables=plan.variables,
            args=tuple(request["args"]),
            created_at=context.world.clock(),
            git=_git_state(request.get("git")),
        )
        if add(context, run, _jobs(context, run, plan)):
            context.world.changes.notify()
            context.world.wake()
            return view(context, run)


def _git_state(view: schemas.GitView | None) -> GitState | None:
    return None if view is None else replace(GitState(**view), remote=without_credentials(view["remote"]))


def _tagged(context: Context, project: str, name: str, tag: str) -> schemas.RunView:
    run, _ = find(context, project, name)
    if tag and run.tag and run.tag != tag:
        raise errors.Conflict(
            f"{name}, which would be used again, has the tag {run.tag} already",
            f"`dstack tag {name} {tag}` takes that one away; without --reuse a new run gets {tag}",
        )
    if tag:
        context.world.database.runs.set_tag(run.id, tag)
        run = replace(run, tag=tag)
    return view(context, run)


def _names(context: Context, prefix: str) -> list[str]:
    """Of all projects: a job's id is made of its run's name, and two projects may share a store or a machine."""
    names = context.world.database.runs.names
    return [name for project in context.settings for name in names(project, prefix)]


def add(context: Context, run: Run, jobs: Sequence[Job]) -> bool:
    """False where someone else has just taken the name."""
    database = context.world.database
    try:
        with database.transaction():
            database.runs.add(run)
            for job in jobs:
                database.jobs.add(job)
    except errors.Conflict:
        if database.runs.get(run.project, run.name) is None and database.jobs.get(jobs[0].id) is None:
            raise
        return False
    return True


def _jobs(context: Context, run: Run, plan: Plan) -> list[Job]:
    return [
        _job(context, run, planned, node)
        for planned in plan.jobs
        if planned.reused is None
        for node in range(planned.spec.nodes)
    ]


def _job(context: Context, run: Run, planned: PlannedJob, node: int) -> Job:
    """Of several nodes the first is what stands for all: it alone is looked for to be used again, and its ports are forwarded."""
    name = node_name(planned.spec.workflow, node)
    return Job(
        id=f"{run.name}.{name}",
        run_id=run.id,
        project=run.project,
        run_name=run.name,
        name=name,
        spec=planned.spec if node == 0 else planned.spec.model_copy(update={"ports": ()}),
        code=run.code,
        sealed=context.sealer.seal(planned.confidential),
        status=JobStatus.SUBMITTED,
        submitted_at=run.created_at,
        next_check_at=run.created_at,
        needs=planned.needs,
        fingerprint=planned.step.fingerprint if node == 0 else "",
        parts=dict(planned.step.parts) if node == 0 else {},
        node=node,
    )


def free_name(context: Context) -> str:
    return new_run_name(lambda word: _names(context, word), _rng)


def view(context: Context, run: Run) -> schemas.RunView:
    return list_views(context, [run])[0]


def list_views(context: Context, runs: Sequence[Run]) -> list[schemas.RunView]:
    """Three queries however many runs there are."""
    database = context.world.database
    jobs = database.jobs.of_runs([run.id for run in runs])
    jobs_of = _grouped(jobs, lambda job: job.run_id)
    instances_of = _grouped(database.instances.of_jobs([job.id for job in jobs]), lambda instance: instance.job_id)
    now = context.world.clock()
    return [views.run_view(run, jobs_of.get(run.id, []), instances_of, now) for run in runs]


def _grouped(rows: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def list_runs(context: Context, project: str, *, everything: bool, last: int | None) -> list[schemas.RunView]:
    """Newest first. Neither `everything` nor `last`: the unfinished ones, or where there is none, the last."""
    context.project(project)
    database = context.world.database
    if everything or last is not None:
        limit = MANY if last is None else last
        return list_views(context, database.runs.recent(project, limit=limit))
    unfinished = {job.run_id for job in database.jobs.unfinished(project)}
    runs = database.runs.of_ids(sorted(unfinished)) if unfinished else database.runs.recent(project, limit=1)
    return list_views(context, runs)


def find(context: Context, project: str, name: str) -> tuple[Run, list[Job]]:
    """A run by its name, with its jobs; or by the id of one job, with that one, which of several nodes are all of them
    (`shady-1.train`) or one (`shady-1.train.0`). Raises NotFound."""
    context.project(project)
    run_name, _, job_name = name.partition(".")
    run = context.world.database.runs.get(project, run_name)
    if run is None:
        raise errors.NotFound(f"there is no run {run_name!r}", "`dstack ps -a` lists all runs")
    jobs = context.world.database.jobs.of_runs([run.id])
    chosen = [job for job in jobs if not job_name or job_name in _called(job)]
    if not chosen:
        known = ", ".join(job.id for job in jobs)
        raise errors.NotFound(f"the run {run_name} has no job {job_name!r}", f"it has: {known}")
    return run, chosen


def _called(job: Job) -> tuple[str, ...]:
    if job.spec.nodes == 1:
        return (job.name,)
    return job.spec.workflow, f"{job.spec.workflow}.{job.node}"


def find_whole(context: Context, project: str, name: str) -> tuple[Run, list[Job]]:
    """As `find`, and where it is one of several nodes, with all of them: what is done to one is done to all."""
    run, chosen = find(context, project, name)
    workflows = {job.spec.workflow for job in chosen}
    jobs = context.world.database.jobs.of_runs([run.id])
    return run, [job for job in jobs if job.spec.workflow in workflows]


def stop(context: Context, project: str, name: str, *, abort: bool) -> schemas.RunView:
    """Asks all its unfinished jobs (or the one named) to stop. A finished run is no error: nothing is left to stop."""
    run, jobs = find_whole(context, project, name)
    for job in jobs:
        _request_stop(context, job.id, "abort" if abort else "stop")
    return view(context, run)


def _request_stop(context: Context, job_id: str, request: StopRequest) -> None:
    """Tried again while a step holds the row: the wish must not be lost."""
    jobs = context.world.database.jobs
    while True:
        job = jobs.get(job_id)
        if job is None or job.status.finished or job.stop_request in (request, "abort"):
            return
        try:
            jobs.save(replace(job, stop_request=request), release=False)
        except Stale:
            continue
        context.world.wake_job(job_id)
        return


def check_not_needed(context: Context, jobs: Sequence[Job]) -> None:
    """Raises Conflict where another job, which hasn't ended, needs the outputs of one of these."""
    chosen = {job.id for job in jobs}
    for other in context.world.database.jobs.unfinished(jobs[0].project):
        for need in other.needs:
            if need.id in chosen and other.id not in chosen:
                raise errors.Conflict(
                    f"{other.id} needs the artifacts of {need.id}", f"wait for it, or `dstack stop {other.id}`"
                )


def remove(context: Context, project: str, name: str) -> None:
    """The rows and all objects of a finished run. Raises Conflict while it runs, UsageError for the id of one job."""
    run, jobs = find(context, project, name)
    if name != run.name:
        raise errors.UsageError(f"{name} is one job of a run, and a run is removed as a whole", f"name {run.name}")
    if any(not job.status.finished for job in jobs):
        raise errors.Conflict(f"{run.name} is still running", f"`dstack stop {run.name}` first")
    database, store = context.world.database, context.store(project)
    check_not_needed(context, jobs)
    instances = database.instances.of_jobs([job.id for job in jobs])
    if any(instance.status.alive for instance in instances):
        raise errors.Conflict(f"the machine of {run.name} is still being torn down", "try again in a moment")
    for instance in instances:
        store.delete([item.key for item in store.list(layout.statuses(instance.id))])
    store.delete([item.key for item in store.list(layout.run_prefix(run.name))])
    database.runs.delete(run.id)
    context.world.changes.notify()

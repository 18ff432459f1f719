"""Outputs of finished runs by the names that people give them: a workflow's last ones, and tags."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud import errors
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Dependency
from dstack_cloud.domain.pipelines import need_of
from dstack_cloud.domain.providers.places import place_of
from dstack_cloud.domain.runs import Job, Need, Run
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services.context import Context
from dstack_cloud.storage import artifacts, layout

# runs among which one is looked for that explains why none is done
LOOKED_THROUGH = 200


def find_dependency(context: Context, project: str, dependency: Dependency, by: Workflow) -> Need:
    """What a `{workflow: x}`, `x:tag` or `:tag` of the workflow `by` stands for. Raises NotFound, Conflict, which name it and its
    place."""
    try:
        return _find(context, project, dependency, by.name)
    except (errors.NotFound, errors.Conflict) as error:
        raise type(error)(error.summary + place_of(by, "`deps`"), error.hint) from error


def _find(context: Context, project: str, dependency: Dependency, by: str) -> Need:
    workflow, tag = dependency.workflow or "", dependency.tag or ""
    if dependency.how == "last":
        job, given = _last(context, project, workflow, by), f"the last {workflow}"
    else:
        given = f"{workflow}:{tag}"
        job = _tagged_for(context, project, given, by)
    need = need_of(job, given, dependency.how)
    if need.paths and not is_there(context, project, need):
        raise errors.NotFound(
            f"`{by}` depends on {given}, which is {job.id}, and its artifacts are gone from the store",
            f"run `{job.name}` again" + (f" with -t {tag}" if tag else ""),
        )
    return need


def is_there(context: Context, project: str, need: Need) -> bool:
    store = context.store(project)
    return all(artifacts.load_manifest(store, layout.JobPlace(need.run, name)) is not None for name in need.jobs)


def _last(context: Context, project: str, workflow: str, by: str) -> Job:
    database = context.world.database
    found = database.results.newest(project, [workflow])
    if found:
        return found[0]
    tried = [run for run in database.runs.recent(project, limit=LOOKED_THROUGH) if run.workflow == workflow]
    ends = ", ".join(f"{job.run_name} ({job.status})" for job in _named(context, tried[:1]))
    raise errors.NotFound(
        f"`{by}` depends on the last run of {workflow!r}, and none is done yet{f': {ends}' if ends else ''}",
        f"`dstack run {workflow}` first",
    )


def _tagged_for(context: Context, project: str, given: str, by: str) -> Job:
    try:
        return tagged(context, project, given)
    except (errors.NotFound, errors.Conflict) as error:
        raise type(error)(f"`{by}` depends on `{given}`, and {error.summary}", error.hint) from error


def tagged(context: Context, project: str, given: str) -> Job:
    """The job whose outputs `name:tag` or `:tag` stands for: that of the run's workflow, in the newest run that is done. Raises
    NotFound, Conflict where runs of different workflows have the tag."""
    workflow, _, tag = given.partition(":")
    runs = [run for run in context.world.database.runs.tagged(project, tag) if workflow in ("", run.workflow)]
    if not tag or not runs:
        raise errors.NotFound(f"there is no run with the tag `{given}`", _known(context, project, workflow))
    jobs = {job.run_id: job for job in _named(context, runs)}
    done = [jobs[run.id] for run in runs if run.id in jobs and jobs[run.id].status is JobStatus.DONE]
    if not done:
        states = ", ".join(f"{run.name} ({jobs[run.id].status})" for run in runs if run.id in jobs)
        raise errors.Conflict(f"no run with the tag `{given}` is done: {states}", "wait for it, or tag another run")
    if len({job.name for job in done}) > 1:
        newest = {job.name: job for job in reversed(done)}
        candidates = ", ".join(f"{name}:{tag} ({job.run_name})" for name, job in sorted(newest.items()))
        raise errors.Conflict(f"`:{tag}` is a tag of several workflows", f"say which one: {candidates}")
    return done[0]


def _named(context: Context, runs: Sequence[Run]) -> list[Job]:
    """Of each run the job of its workflow."""
    workflows = {run.id: run.workflow for run in runs}
    jobs = context.world.database.jobs.of_runs(list(workflows))
    return [job for job in jobs if job.name == workflows[job.run_id]]


def _known(context: Context, project: str, workflow: str) -> str:
    runs = context.world.database.runs.tagged(project)
    known = dict.fromkeys(f"{run.workflow}:{run.tag}" for run in runs if workflow in ("", run.workflow))
    if known:
        return f"there are: {', '.join(known)}"
    return "`dstack run -t TAG` or `dstack tag RUN TAG` gives a run one"

"""Which jobs of a plan need not run, because they were done before and nothing has changed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from dstack_cloud.domain.pipelines import Choice, Past, Step, choose, need_of
from dstack_cloud.domain.runs import Job, Need
from dstack_cloud.orchestrator.errands import content_of
from dstack_cloud.services import results
from dstack_cloud.services.context import Context


def choices(context: Context, project: str, steps: Sequence[Step], *, target_too: bool) -> dict[str, Choice]:
    """By name, what is used again and why the others run; those that nobody needs, because what needs them isn't run, are left
    out. The last step is run in any case, unless `target_too`."""
    target = steps[-1].name
    found = context.world.database.results
    fingerprints = [step.fingerprint for step in steps if target_too or step.name != target]
    alike: dict[str, list[Job]] = {}
    for done in found.alike(project, fingerprints):
        alike.setdefault(done.fingerprint, []).append(done)
    newest = {job.name: job for job in found.newest(project, [step.name for step in steps])}
    gone: set[str] = set()
    content = _contents(context, project)
    while True:
        chosen = choose(steps, Past(alike, newest, gone, content))
        if not target_too:
            chosen[target] = (None, "")
        needed = _needed(steps, chosen)
        used = [job for name in needed if (job := chosen[name][0]) is not None]
        lost = {job.id for job in used if _is_gone(context, project, job)}
        if not lost:
            return {name: chosen[name] for name in needed}
        gone |= lost


def _needed(steps: Sequence[Step], chosen: Mapping[str, Choice]) -> list[str]:
    """What runs, and what that is given, in order."""
    needed = {steps[-1].name}
    for step in reversed(steps):
        if step.name in needed and chosen[step.name][0] is None:
            needed.update(name for given, name in step.depends if given not in step.fixed)
    return [step.name for step in steps if step.name in needed]


def _is_gone(context: Context, project: str, job: Job) -> bool:
    need = need_of(job, job.name)
    return bool(need.paths) and not results.is_there(context, project, need)


def _contents(context: Context, project: str) -> Callable[[Need], str]:
    """What is saved now of a job."""
    store = context.store(project)

    @cache
    def content(need: Need) -> str:
        return content_of(store, need)

    return content

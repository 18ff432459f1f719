"""Which workflows run together, in which order, and which of them need not run again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dstack_cloud.domain.fingerprints import difference
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Dependency
from dstack_cloud.domain.parsing.problems import nearest, shown
from dstack_cloud.domain.runs import Job, Need
from dstack_cloud.errors import ConfigurationError, NotFound


def dependencies(workflow: Workflow) -> list[Dependency]:
    """Each once, in the file's order."""
    plain = [each.model_copy(update={"mount": False}) for each in workflow.deps.on]
    return list(dict.fromkeys(plain))


def pipeline(workflows: Sequence[Workflow], target: Workflow) -> list[Workflow]:
    """`target` is the last; each stands behind those that it needs, in the file's order otherwise. Raises NotFound for a
    workflow that isn't there, ConfigurationError for one that needs itself, with the whole way round."""
    by_name = {workflow.name: workflow for workflow in workflows}
    ordered: dict[str, Workflow] = {}
    path: dict[str, Iterator[str]] = {target.name: _run_first(target)}
    while path:
        name = next(reversed(path))
        needed = next(path[name], None)
        if needed is None:
            del path[name]
            ordered[name] = by_name[name]
        elif needed in path:
            raise _cycle([*path][[*path].index(needed) :], by_name[name])
        elif needed not in ordered:
            if needed not in by_name:
                raise _missing(needed, by_name[name], list(by_name))
            path[needed] = _run_first(by_name[needed])
    return list(ordered.values())


def _run_first(workflow: Workflow) -> Iterator[str]:
    return iter([each.workflow for each in dependencies(workflow) if each.how == "run" and each.workflow])


def _cycle(names: Sequence[str], workflow: Workflow) -> ConfigurationError:
    way = " → ".join((*names, names[0]))
    return ConfigurationError(
        f"`{names[0]}` depends on itself: {way}", f"take one of them out of `deps`{_place(workflow)}"
    )


def _missing(name: str, workflow: Workflow, known: Sequence[str]) -> NotFound:
    near = nearest(name, known)
    there = f"workflows: {', '.join(known)}"
    return NotFound(
        f"`{workflow.name}` depends on {shown(name)}, and there is no such workflow{_place(workflow)}",
        f"did you mean `{near}`? {there}" if near else there,
    )


def _place(workflow: Workflow) -> str:
    return f" ({workflow.file}:{workflow.line})" if workflow.file else ""


@dataclass(frozen=True)
class Step:
    """A workflow as it would run now. `needs` by dependency: the outputs that are there already; None: of a job that runs first."""

    name: str
    depends: tuple[tuple[str, str], ...]
    fixed: Mapping[str, Need]
    fingerprint: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Past:
    """Done jobs: `alike` by fingerprint, the newest first; `newest` by name. `gone` are the ids of those whose outputs aren't
    there any more; `content` stands for what is there now of a job ("": nothing)."""

    alike: Mapping[str, Sequence[Job]]
    newest: Mapping[str, Job]
    gone: Collection[str]
    content: Callable[[Need], str]


Choice = tuple["Job | None", str]


def choose(steps: Sequence[Step], past: Past) -> dict[str, Choice]:
    """By name: the job whose outputs are used, or None and why it runs. `steps` are in their order."""
    chosen: dict[str, Choice] = {}
    for step in steps:
        runs = [name for given, name in step.depends if given not in step.fixed and chosen[name][0] is None]
        if runs:
            chosen[step.name] = (None, f"`{runs[0]}` runs")
            continue
        needs = [step.fixed.get(given) or need_of(_job(chosen, name), given) for given, name in step.depends]
        chosen[step.name] = _choose(step, needs, past)
    return chosen


def _job(chosen: Mapping[str, Choice], name: str) -> Job:
    job = chosen[name][0]
    assert job is not None  # noqa: S101 - whoever needs a job that runs runs, too
    return job


def _choose(step: Step, needs: Sequence[Need], past: Past) -> Choice:
    why = ""
    for job in past.alike.get(step.fingerprint, ()):
        changed = _changed(job.needs, needs, past.content)
        if job.id in past.gone:
            why = why or "its artifacts are gone"
        elif changed:
            why = why or changed
        else:
            return job, ""
    newest = past.newest.get(step.name)
    if not why and newest is not None and newest.parts:
        why = difference(newest.parts, step.parts)
    return None, why or "no finished run"


def _changed(then: Sequence[Need], now: Sequence[Need], content: Callable[[Need], str]) -> str:
    """Compared is what was read, never whose it was: a job that is started again keeps its id, and a removed run's name is
    given again."""
    if [need.given for need in then] != [need.given for need in now]:
        return "its dependencies changed"
    for before, need in zip(then, now, strict=True):
        if before.paths and not before.content:
            return f"it isn't known what it read of `{need.given}`"
        if before.content != content(need):
            return f"the outputs of `{need.given}` changed"
    return ""


def need_of(job: Job, given: str, how: str = "run") -> Need:
    paths = tuple(artifact.path for artifact in job.spec.artifacts)
    return Need(job.run_name, job.name, how, given, paths)  # type: ignore[arg-type]  # one of its three

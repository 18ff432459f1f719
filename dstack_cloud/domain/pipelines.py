"""Which workflows run together, in which order, and which of them need not run again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dstack_cloud.domain.fingerprints import difference
from dstack_cloud.domain.names import is_run_name
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Dependency
from dstack_cloud.domain.parsing.problems import Problem, nearest, shown
from dstack_cloud.domain.providers.places import place_of
from dstack_cloud.domain.runs import Job, Need, node_name
from dstack_cloud.errors import ConfigurationError, NotFound


def dependencies(workflow: Workflow) -> list[Dependency]:
    """Each once, in the file's order."""
    plain = [each.model_copy(update={"mount": False}) if each.mount else each for each in workflow.deps.on]
    return list(dict.fromkeys(plain))


class _Circle(Exception):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names


def pipeline(workflows: Sequence[Workflow], target: Workflow) -> list[Workflow]:
    """`target` is the last; each stands behind those that it needs, in the file's order otherwise. Raises NotFound for a
    workflow that isn't there, ConfigurationError for one that needs itself, with the whole way round."""
    by_name = {workflow.name: workflow for workflow in workflows}

    def needed(name: str) -> Iterator[str]:
        for other in _run_first(by_name[name]):
            if other not in by_name:
                text, hint = _missing(other, by_name[name], by_name)
                raise NotFound(text + place_of(by_name[name], "`deps`"), hint)
            yield other

    try:
        return [by_name[name] for name in _walk(target.name, needed)]
    except _Circle as circle:
        text, hint = _circle(circle.names)
        raise ConfigurationError(text, hint + place_of(by_name[circle.names[-1]], "`deps`")) from None


def unplannable(workflows: Sequence[Workflow]) -> list[Problem]:
    """Why some can't be run: a problem for each name that isn't there, and one for each circle."""
    by_name = {workflow.name: workflow for workflow in workflows}
    needed = {each.name: list(_run_first(each)) for each in workflows}
    found = [
        _problem(_missing(other, each, by_name), each)
        for each in workflows
        for other in needed[each.name]
        if other not in by_name
    ]
    left = dict.fromkeys(by_name)
    while left:
        try:
            walked: Sequence[str] = _walk(next(iter(left)), lambda name: (n for n in needed[name] if n in left))
        except _Circle as circle:
            walked = circle.names
            first = by_name[walked[0]]
            found.append(_problem(_circle(walked), first))
        for name in walked:
            del left[name]
    return found


def _walk(first: str, needed: Callable[[str], Iterator[str]]) -> list[str]:
    """All that `first` leads to, each behind those that it needs. Raises _Circle."""
    ordered: dict[str, None] = {}
    path: dict[str, Iterator[str]] = {first: needed(first)}
    while path:
        name = next(reversed(path))
        other = next(path[name], None)
        if other is None:
            del path[name]
            ordered[name] = None
        elif other in path:
            raise _Circle([*path][[*path].index(other) :])
        elif other not in ordered:
            path[other] = needed(other)
    return list(ordered)


def _problem(wrong: tuple[str, str], workflow: Workflow) -> Problem:
    line = workflow.lines.get("deps", workflow.line)
    return Problem(workflow.file, line, 0, f"{workflow.name}.deps", *wrong)


def check_node_names(workflows: Sequence[Workflow]) -> None:
    """Raises ConfigurationError where the job of one node of a workflow would be called as another workflow is."""
    names = {workflow.name for workflow in workflows}
    for workflow in workflows:
        for node in range(1, workflow.nodes):
            if (name := node_name(workflow.name, node)) in names:
                raise ConfigurationError(
                    f"node {node} of `{workflow.name}` would be called `{name}`, as another workflow is{place_of(workflow)}",
                    "rename one of the two",
                )


def _run_first(workflow: Workflow) -> Iterator[str]:
    return iter([each.workflow for each in dependencies(workflow) if each.how == "run" and each.workflow])


def _circle(names: Sequence[str]) -> tuple[str, str]:
    """What is wrong, and what to do."""
    return f"`{names[0]}` depends on itself: {' → '.join((*names, names[0]))}", "take one of them out of `deps`"


def _missing(name: str, workflow: Workflow, known: Collection[str]) -> tuple[str, str]:
    near = nearest(name, known)
    there = f"workflows: {', '.join(known)}"
    text = f"`{workflow.name}` depends on {shown(name)}, and there is no such workflow"
    if is_run_name(name):
        return (
            text,
            f"of a run the outputs have a name by a tag: `dstack tag {name} TAG`, and `:TAG` in `deps`; {there}",
        )
    return text, f"did you mean `{near}`? {there}" if near else there


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
    return Need(job.run_name, job.name, how, given, paths, nodes=job.spec.nodes)  # type: ignore[arg-type]  # one of its three

"""Reading workflow files and planning a run: everything that can be refused is refused here, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.backends.base import offers_of_all
from dstack_cloud.domain import fingerprints, parsing, providers
from dstack_cloud.domain.parsing.values import LONGEST_NAME, is_name
from dstack_cloud.domain.pipelines import check_node_names, pipeline, unplannable
from dstack_cloud.domain.providers.places import place_of
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.domain.shell import sets_itself
from dstack_cloud.domain.variables import SYSTEM_NAMES, Values, environment_name, form, is_kept
from dstack_cloud.services import own_providers, planned_setups, secrets, views
from dstack_cloud.services.context import Context
from dstack_cloud.services.pipelines import Drafting, PlannedJob, chosen

# the name of a run that is only planned
RUN = "RUN"


class WorkflowProblems(errors.ConfigurationError):
    """Files that can't be read as workflows; `problems` says where and why."""

    def __init__(self, problems: Sequence[parsing.Problem]) -> None:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the workflow files")
        self.problems = [problem_view(problem) for problem in problems]

    @property
    def code(self) -> str:
        return errors.ConfigurationError.__name__


@dataclass(frozen=True)
class Plan:
    """A run that could start now. `jobs` in their order, that of `workflow` last; those with `reused` aren't run."""

    workflow: parsing.Workflow
    jobs: tuple[PlannedJob, ...]
    contents: tuple[str, ...]
    variables: dict[str, str]
    needs_env: tuple[str, ...]
    secrets: tuple[str, ...]
    warnings: tuple[str, ...]
    setups: Mapping[str, schemas.SetupView] = field(default_factory=dict)


def problem_view(problem: parsing.Problem) -> schemas.ProblemView:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "where": problem.where,
        "text": problem.text,
        "hint": problem.hint,
    }


def check_files(files: Sequence[schemas.SourceFile]) -> schemas.CheckView:
    checked, _ = own_providers.check(files)
    # with a workflow that can't be read, what others need of it isn't known
    problems = checked.problems or unplannable(checked.workflows)
    return {
        "workflows": [_workflow_view(workflow) for workflow in checked.workflows],
        "problems": [problem_view(problem) for problem in problems],
        "warnings": [problem_view(problem) for problem in checked.warnings],
    }


def _workflow_view(workflow: parsing.Workflow) -> schemas.WorkflowView:
    return {
        "name": workflow.name,
        "help": workflow.help or "",
        "provider": workflow.provider,
        "file": workflow.file,
        "line": workflow.line,
    }


def describe_workflow(files: Sequence[schemas.SourceFile], name: str) -> schemas.WorkflowDetail:
    """Raises WorkflowProblems, NotFound."""
    checked, _ = own_providers.check(files)
    if checked.problems:
        raise WorkflowProblems(checked.problems)
    workflow = parsing.find(checked.workflows, name)
    own = checked.variables.own.get(name, {})
    seen = checked.variables.seen_by(name)
    return {
        **_workflow_view(workflow),
        "variables": [
            {
                "name": each,
                "default": seen[each],
                "shared": each not in own,
                "help": checked.variables.help_of(name, each),
            }
            for each in seen
        ],
        "takes_args": providers.uses_args(workflow),
    }


def plan_run(context: Context, project: str, request: schemas.RunRequest, *, run_name: str = RUN) -> Plan:
    """Raises WorkflowProblems, NotFound, UsageError, NotAvailableYet, or the BackendError of a machine that can't do it."""
    checked, known_providers = own_providers.check(request["files"])
    if checked.problems:
        raise WorkflowProblems(checked.problems)
    workflow = parsing.find(checked.workflows, request["workflow"])
    _check_args(workflow, request["args"])
    _check_given_tag(request["tag"])
    workflows = pipeline(checked.workflows, workflow)
    check_node_names(workflows)
    known: list[str] = []
    for each in workflows:
        if (wanted := providers.secrets_of(each)) or each is workflow:
            known = secrets.check_usable(context, project, wanted, each.name, place_of(each))
    variables = checked.variables.overridden(workflow.name, request["variables"])
    drafting = Drafting(context, project, request, workflows, variables, known_providers, run_name)
    drafts = [drafting.draft(each) for each in workflows]
    jobs = chosen(context, project, request, drafts, run_name)
    values = drafting.values(workflow)
    needed = tuple(dict.fromkeys(name for each in workflows for name in providers.needs_env(each)))
    left_out: dict[str, errors.BackendError] = {}
    offered = tuple(_with_offers(context, project, request, jobs, left_out))
    return Plan(
        workflow=workflow,
        jobs=offered,
        setups=planned_setups.views(context, project, request, offered),
        variables=values.variables,
        contents=tuple(fingerprints.paths_of(workflows)),
        needs_env=needed,
        secrets=tuple(known),
        warnings=(
            *_warnings([name for name in needed if name not in known], request),
            *_hidden(values),
            *_replaced(workflow, values),
            *_nothing_to_rebuild(request, jobs),
            *_left_out(left_out),
        ),
    )


def _with_offers(
    context: Context,
    project: str,
    request: schemas.RunRequest,
    jobs: Sequence[PlannedJob],
    left_out: dict[str, errors.BackendError],
) -> Iterator[PlannedJob]:
    """Jobs that ask for the same are offered the same, and it is asked for once. `left_out` gets why backends offered nothing
    where others did."""
    known: dict[Requirements, tuple[Requirements, tuple[Offer, ...]]] = {}
    for job in jobs:
        if job.reused is not None:
            yield job
            continue
        wanted = job.spec.requirements
        if wanted not in known:
            asked = _with_backends(context, project, wanted)
            try:
                offers, refusals = _offers(context, project, asked)
                known[wanted] = asked, tuple(offers)
                left_out.update(refusals)
            except errors.BackendError:
                # whether a dependency runs at all is known only with the code
                if request["code"] is not None or job is jobs[-1]:
                    raise
                known[wanted] = asked, ()
        requirements, found = known[wanted]
        yield replace(job, spec=job.spec.model_copy(update={"requirements": requirements}), offers=found)


def _check_args(workflow: parsing.Workflow, args: Sequence[str]) -> None:
    if not args or providers.uses_args(workflow):
        return
    hint = "put ${{ run.args }} into the workflow's commands where they belong, or leave them out"
    raise errors.UsageError(f"the workflow {workflow.name!r} takes no arguments, and got: {' '.join(args)}", hint)


def _check_given_tag(tag: str) -> None:
    if tag:
        check_tag(tag)


def check_tag(tag: str) -> None:
    """Raises UsageError."""
    if not is_name(tag):
        raise errors.UsageError(
            f"`{tag}` can't be a tag",
            f"use letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at most, and begin with no `-`",
        )


def _with_backends(context: Context, project: str, wanted: Requirements) -> Requirements:
    asked = wanted.backends or context.project(project).backends
    known = context.backends(project)
    for name in asked:
        if name not in known:
            raise errors.UsageError(f"there is no backend {name!r}", f"this version has: {', '.join(sorted(known))}")
    return wanted.model_copy(update={"backends": tuple(asked)})


def _offers(context: Context, project: str, wanted: Requirements) -> tuple[list[Offer], dict[str, errors.BackendError]]:
    known = context.backends(project)
    offers, refusals = offers_of_all([known[name] for name in wanted.backends], wanted)
    if not offers:
        raise _no_offer(wanted, list(refusals.values()))
    return offers, refusals


def _no_offer(requirements: Requirements, refusals: Sequence[errors.BackendError]) -> errors.DstackError:
    if len(refusals) == 1:
        return refusals[0]
    if refusals:
        text = "; ".join(refusal.summary for refusal in refusals)
        return errors.InvalidConfiguration(f"no backend can run it: {text}", refusals[0].hint)
    backends = ", ".join(requirements.backends)
    return errors.InvalidConfiguration(
        f"no offer of {backends} fits what the workflow asks for", "ask for less, or configure another backend"
    )


def _left_out(refusals: Mapping[str, errors.BackendError]) -> Iterator[str]:
    """That a backend has nothing that fits is no news; that it couldn't be asked may cost money elsewhere."""
    for name, refusal in refusals.items():
        if not isinstance(refusal, errors.InvalidConfiguration):
            yield f"{name} isn't used: {refusal.summary}{f' ({refusal.hint})' if refusal.hint else ''}"


def _warnings(needed: Sequence[str], request: schemas.RunRequest) -> list[str]:
    missing = [name for name in needed if name not in request["env"]]
    if request["code"] is None or not missing:
        return []
    return [f"{name} is not set here, so the job doesn't get it" for name in missing]


def _hidden(values: Values) -> Iterator[str]:
    for name in (*values.shared, *values.own):
        if form(name) in SYSTEM_NAMES:
            yield f"the variable `{name}` has the name of one that dstack sets itself: that value is used"
        elif is_kept(environment_name(name)):
            yield f"the variable `{name}` isn't put into the job's environment, where {environment_name(name)} means something else"


def _replaced(workflow: parsing.Workflow, values: Values) -> Iterator[str]:
    for name in map(form, values.variables):
        if any(sets_itself(command, name) for command in (*workflow.setup, *workflow.commands)):
            yield f"the commands of `{workflow.name}` set `{name}` themselves, but `$" + (
                f"{name}` stands for the variable of that name: write `${{{name}}}` for the shell's own"
            )


def _nothing_to_rebuild(request: schemas.RunRequest, jobs: Sequence[PlannedJob]) -> Iterator[str]:
    if request.get("rebuild", False) and not any(job.spec.setup for job in jobs if job.reused is None):
        yield "--rebuild changes nothing: no job that runs has a `setup`"


def plan_view(plan: Plan) -> schemas.PlanView:
    return {
        "workflow": plan.workflow.name,
        "variables": plan.variables,
        "jobs": [_job_view(job, plan.setups.get(job.spec.workflow)) for job in plan.jobs],
        "contents": list(plan.contents),
        "needs_env": list(plan.needs_env),
        "secrets": list(plan.secrets),
        "warnings": list(plan.warnings),
    }


def _job_view(job: PlannedJob, setup: schemas.SetupView | None) -> schemas.PlannedJob:
    spec = job.spec
    return {
        "name": spec.workflow,
        "provider": spec.provider,
        "image": spec.image,
        "paths": [saved.path for saved in (*spec.artifacts, *spec.cache)],
        "reads": list(_reads(job)),
        "needs": [need.job if need.run == RUN else need.id for need in job.needs],
        "reused": "" if job.reused is None else job.reused.id,
        "why": job.why,
        "nodes": spec.nodes,
        "offers": [views.offer_view(offer) for offer in job.offers],
        "setup": setup,
    }


def _reads(job: PlannedJob) -> Iterator[str]:
    """Those that no other job's outputs and no cache bring."""
    brought = [path for need in job.needs for path in need.paths] + [saved.path for saved in job.spec.cache]
    for path in job.spec.reads if job.reused is None else ():
        if not any(
            place in (".", path) or path.startswith(f"{place}/") or place.startswith(f"{path}/") for place in brought
        ):
            yield path

"""Reading workflow files and planning a run: everything that can be refused is refused here, before anything is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.jobs import Confidential, JobSpec
from dstack_cloud.domain.parsing.values import LONGEST_NAME, is_name
from dstack_cloud.domain.resources import Offer, Requirements, allowed
from dstack_cloud.domain.variables import SYSTEM_NAMES, Values, environment_name, form, is_kept
from dstack_cloud.services import own_providers, secrets, views
from dstack_cloud.services.context import Context


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
    """A run that could start now."""

    workflow: parsing.Workflow
    specs: tuple[JobSpec, ...]
    offers: tuple[tuple[Offer, ...], ...]
    confidential: Confidential
    variables: dict[str, str]
    needs_env: tuple[str, ...]
    secrets: tuple[str, ...]
    warnings: tuple[str, ...]


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
    return {
        "workflows": [_workflow_view(workflow) for workflow in checked.workflows],
        "problems": [problem_view(problem) for problem in checked.problems],
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
        "variables": [{"name": each, "default": seen[each], "shared": each not in own} for each in seen],
        "takes_args": providers.uses_args(workflow),
    }


def plan_run(context: Context, project: str, request: schemas.RunRequest, *, run_name: str = "RUN") -> Plan:
    """Raises WorkflowProblems, NotFound, UsageError, NotAvailableYet, or the BackendError of a machine that can't do it."""
    checked, known_providers = own_providers.check(request["files"])
    if checked.problems:
        raise WorkflowProblems(checked.problems)
    workflow = parsing.find(checked.workflows, request["workflow"])
    _check_args(workflow, request["args"])
    _check_tag(request["tag"])
    known = secrets.check_usable(context, project, providers.secrets_of(workflow), workflow.name)
    variables = checked.variables.overridden(workflow.name, request["variables"])
    values = variables.values(workflow.name, run_name=run_name, args=request["args"])
    overrides = dict(request["overrides"])
    specs = providers.job_specs(workflow, values, overrides=overrides, providers=known_providers)
    specs = [_with_backends(context, project, spec) for spec in specs]
    offers = [tuple(_offers(context, project, spec)) for spec in specs]
    needed = tuple(providers.needs_env(workflow))
    return Plan(
        workflow=workflow,
        specs=tuple(specs),
        offers=tuple(offers),
        confidential=_with_tokens(providers.confidential(workflow, values, request["env"]), specs),
        variables=values.variables,
        needs_env=needed,
        secrets=tuple(known),
        warnings=(*_warnings([name for name in needed if name not in known], request), *_hidden(values)),
    )


def _with_tokens(confidential: Confidential, specs: Sequence[JobSpec]) -> Confidential:
    """A random token for each program that asks for one, unless the user has given it one."""
    tokens = {port.token: os.urandom(24).hex() for spec in specs for port in spec.ports if port.token}
    return confidential.model_copy(update={"env": tokens | confidential.env})


def _check_args(workflow: parsing.Workflow, args: Sequence[str]) -> None:
    if not args or providers.uses_args(workflow):
        return
    hint = "put ${{ run.args }} into the workflow's commands where they belong, or leave them out"
    raise errors.UsageError(f"the workflow {workflow.name!r} takes no arguments, and got: {' '.join(args)}", hint)


def _check_tag(tag: str) -> None:
    if tag and not is_name(tag):
        raise errors.UsageError(
            f"`{tag}` can't be a tag",
            f"use letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at most, and begin with no `-`",
        )


def _with_backends(context: Context, project: str, spec: JobSpec) -> JobSpec:
    asked = spec.requirements.backends or context.project(project).backends
    known = context.backends(project)
    for name in asked:
        if name not in known:
            raise errors.UsageError(f"there is no backend {name!r}", f"this version has: {', '.join(sorted(known))}")
    requirements = spec.requirements.model_copy(update={"backends": tuple(asked)})
    return spec.model_copy(update={"requirements": requirements})


def _offers(context: Context, project: str, spec: JobSpec) -> list[Offer]:
    offers: list[Offer] = []
    refusals: list[errors.BackendError] = []
    for name in spec.requirements.backends:
        try:
            found = context.backends(project)[name].offers(spec.requirements)
            offers += [offer for offer in found if allowed(offer, spec.requirements)]
        except errors.BackendError as error:
            refusals.append(error)
    if not offers:
        raise _no_offer(spec.requirements, refusals)
    return sorted(offers, key=lambda offer: offer.sort_key)


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


def plan_view(plan: Plan) -> schemas.PlanView:
    return {
        "workflow": plan.workflow.name,
        "variables": plan.variables,
        "jobs": [
            {
                "name": spec.workflow,
                "provider": spec.provider,
                "image": spec.image,
                "paths": [saved.path for saved in (*spec.artifacts, *spec.cache)],
                "offers": [views.offer_view(offer) for offer in offers],
            }
            for spec, offers in zip(plan.specs, plan.offers, strict=True)
        ],
        "needs_env": list(plan.needs_env),
        "secrets": list(plan.secrets),
        "warnings": list(plan.warnings),
    }

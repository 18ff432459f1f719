"""The jobs of a run: the workflow that is named and all that it depends on, each with what it needs of the others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from dstack_cloud.api import schemas
from dstack_cloud.domain import fingerprints, parsing, providers
from dstack_cloud.domain.jobs import Confidential, JobSpec
from dstack_cloud.domain.parsing.known import PROVIDERS as BUILT_IN
from dstack_cloud.domain.pipelines import Choice, Step, dependencies, need_of
from dstack_cloud.domain.providers.making import Providers
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Job, Need
from dstack_cloud.domain.variables import Values, Variables, form
from dstack_cloud.providers import place
from dstack_cloud.providers.base import Program
from dstack_cloud.services import results, reuse
from dstack_cloud.services.context import Context

# what of the command line's wishes is for the workflow that it names, not for those that this one depends on
OF_THE_TARGET = ("gpu",)
ANY_RUN = "run"


@dataclass(frozen=True)
class PlannedJob:
    """`reused`: the job whose outputs are used instead of running it; else `why` it runs."""

    workflow: parsing.Workflow
    spec: JobSpec
    confidential: Confidential
    step: Step
    needs: tuple[Need, ...] = ()
    reused: Job | None = None
    why: str = ""
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True)
class Drafting:
    """`workflows` are all that the run may need, in order, the named one last."""

    context: Context
    project: str
    request: schemas.RunRequest
    workflows: Sequence[parsing.Workflow]
    variables: Variables
    known: Providers
    run_name: str

    @property
    def target(self) -> parsing.Workflow:
        return self.workflows[-1]

    def draft(self, workflow: parsing.Workflow) -> PlannedJob:
        """Raises what is wrong with the workflow, and NotFound, Conflict for outputs that aren't there."""
        named = workflow is self.target
        wishes = {
            name: value for name, value in self.request["overrides"].items() if named or name not in OF_THE_TARGET
        }
        values = self.values(workflow)
        reload = self._is_reloaded(workflow)
        (spec,) = providers.job_specs(workflow, values, overrides=wishes, providers=self.known, reload=reload)
        if spec.setup and self.request.get("rebuild", False):
            spec = spec.model_copy(update={"rebuild": True})
        env = self._environment(workflow)
        confidential = _with_tokens(providers.confidential(workflow, values, env), spec)
        return PlannedJob(workflow, spec, confidential, self._step(workflow, env, spec))

    def _is_reloaded(self, workflow: parsing.Workflow) -> bool:
        return workflow is self.target and self.request.get("reload", False)

    def values(self, workflow: parsing.Workflow, run_name: str = "") -> Values:
        args = self.request["args"] if workflow is self.target else []
        return self.variables.values(workflow.name, run_name=run_name or self.run_name, args=args)

    def _program(self, workflow: parsing.Workflow, spec: JobSpec) -> str:
        """What its provider makes of it, whatever the run is called: a file of the working folder counts by its text. What adds
        nothing to the workflow's fields, which count by themselves, doesn't count, nor does what a built-in one makes where a
        workflow says on which variables it depends, for it may be made of others."""
        if place.is_own(workflow.provider):
            path, _ = place.split(workflow.provider)
            return next((file["text"] for file in self.request["files"] if file["path"] == path), "")
        named = workflow.provider in BUILT_IN and workflow.deps.variables is not None
        if named or self.known.adds_nothing(workflow.provider):
            return ""
        values = self.values(workflow, ANY_RUN)
        program: JobSpec | Program = spec
        if self._is_reloaded(workflow) or providers.tells_runs_apart(workflow, values):
            program = providers.program_of(workflow, values, self.known)
        parts = [program.commands, program.image, program.entrypoint, *([program.setup] if program.setup else [])]
        return json.dumps(parts)

    def _variables(self, workflow: parsing.Workflow) -> dict[str, str]:
        """Those that it depends on: all that it sees, or those that it says."""
        seen = self.variables.seen_by(workflow.name)
        named = workflow.deps.variables
        if named is None:
            return seen
        spelled = {form(name) for name in named}
        return {name: value for name, value in seen.items() if form(name) in spelled}

    @cached_property
    def _keyed(self) -> fingerprints.Keyed:
        """Global variables, among others, are the same for many workflows."""
        return cache(self.context.sealer.keyed)

    @cached_property
    def _asked(self) -> set[str]:
        return {name for each in self.workflows for name in providers.needs_env(each)}

    def _environment(self, workflow: parsing.Workflow) -> dict[str, str]:
        """A variable that workflows name without a value goes to these only; what is set with -e otherwise to all."""
        asked, mine = self._asked, set(providers.needs_env(workflow))
        return {name: value for name, value in self.request["env"].items() if name not in asked or name in mine}

    def _step(self, workflow: parsing.Workflow, env: Mapping[str, str], spec: JobSpec) -> Step:
        fixed: dict[str, Need] = {}
        depends: list[tuple[str, str]] = []
        for dependency in dependencies(workflow):
            if dependency.how == "run":
                depends.append((dependency.workflow or "", dependency.workflow or ""))
            else:
                need = results.find_dependency(self.context, self.project, dependency, workflow)
                fixed[need.given] = need
                depends.append((need.given, ""))
        code = self.request["code"]
        inputs = fingerprints.Inputs(
            code=fingerprints.code_of(workflow, code["sha256"] if code else "", self.request.get("contents", {})),
            program=self._program(workflow, spec),
            gpu=spec.requirements.gpu,
            variables=self._variables(workflow),
            env={**{name: value for name, value in workflow.env.items() if value is not None}, **env},
            args=self.request["args"] if workflow is self.target else [],
        )
        parts = fingerprints.parts_of(workflow, inputs, self._keyed)
        # what is reloaded ends as something else than it began as: it is never used again
        fingerprint = "" if self._is_reloaded(workflow) else fingerprints.fingerprint(parts)
        return Step(workflow.name, tuple(depends), fixed, fingerprint, parts)


def _with_tokens(confidential: Confidential, spec: JobSpec) -> Confidential:
    """A random token for each program that asks for one, unless the user has given it one."""
    tokens = {port.token: os.urandom(24).hex() for port in spec.ports if port.token}
    return confidential.model_copy(update={"env": tokens | confidential.env}) if tokens else confidential


def chosen(
    context: Context, project: str, request: schemas.RunRequest, jobs: Sequence[PlannedJob], run_name: str
) -> list[PlannedJob]:
    """Those that run or are used, with what each needs. Before the code is known nothing is said about what is used again."""
    wanted = request.get("reuse", "deps")
    steps = [job.step for job in jobs]
    if request["code"] is None or wanted == "none" or (len(steps) == 1 and wanted != "all"):
        why = "--no-reuse" if wanted == "none" else ""
        found: dict[str, Choice] = {step.name: (None, why) for step in steps}
    else:
        found = reuse.choices(context, project, steps, target_too=wanted == "all")
    by_name = {job.step.name: job for job in jobs}

    def need(given: str, name: str) -> Need:
        reused, job = found[name][0], by_name[name]
        if reused is not None:
            return need_of(reused, given)
        paths = tuple(artifact.path for artifact in job.spec.artifacts)
        return Need(run_name, name, "run", given, paths, nodes=job.spec.nodes)

    def linked(job: PlannedJob) -> PlannedJob:
        reused, why = found[job.step.name]
        fixed, depends = job.step.fixed, job.step.depends if reused is None else ()
        needs = tuple(fixed.get(given) or need(given, name) for given, name in depends)
        return replace(job, reused=reused, why=why, needs=needs)

    return [linked(job) for job in jobs if job.step.name in found]

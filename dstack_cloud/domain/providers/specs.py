"""From a workflow to the jobs that it is made of."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from dstack_cloud.domain.jobs import JobSpec, PortMapping, SavedPath
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Retry
from dstack_cloud.domain.providers.filling import fill, fill_program, secrets_of
from dstack_cloud.domain.providers.making import Providers
from dstack_cloud.domain.providers.places import place_of
from dstack_cloud.domain.providers.requirements import Overrides, requirements
from dstack_cloud.domain.providers.unbuilt import refuse_unbuilt
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.base import Given, Program
from dstack_cloud.providers.options import Option

# `retry: true` says no duration
DEFAULT_RETRY_SECONDS = 3600
_BUILT_IN = Providers()


def job_specs(
    workflow: Workflow,
    values: Values,
    *,
    overrides: Mapping[str, object] | None = None,
    providers: Providers = _BUILT_IN,
    reload: bool = False,
) -> list[JobSpec]:
    """One job, for now. `overrides` are `Overrides`. `reload`: its code will change while it runs. Raises ConfigurationError, and NotAvailableYet for a field that isn't built."""
    refuse_unbuilt(workflow)
    described = providers.known.of(workflow.provider)
    secrets = secrets_of(workflow)
    try:
        workflow = fill(workflow, values, described.options)
        program, ports = _program(workflow, providers, described.port, reload=reload)
    except ConfigurationError as error:
        raise ConfigurationError(error.summary + place_of(workflow, error.summary), error.hint) from error
    spec = JobSpec(
        workflow=workflow.name,
        provider=workflow.provider,
        commands=program.commands,
        image=program.image,
        entrypoint=program.entrypoint,
        installs=program.installs,
        setup=(*workflow.setup, *program.setup),
        python=workflow.python,
        working_dir=workflow.working_dir,
        reads=tuple(_reads(workflow, described.options)),
        home_dir=workflow.home_dir,
        artifacts=tuple(SavedPath(path=each.path, mount=each.mount) for each in workflow.artifacts),
        cache=tuple(SavedPath(path=each.path) for each in workflow.cache),
        ports=ports,
        requirements=requirements(
            workflow.resources,
            cast(Overrides, overrides or {}),
            image=program.image,
            python=workflow.python,
            nodes=workflow.nodes,
        ),
        max_duration=workflow.max_duration,
        retry_seconds=_retry_seconds(workflow.retry),
        secrets=secrets,
    )
    return [spec]


def program_of(workflow: Workflow, values: Values, providers: Providers = _BUILT_IN) -> Program:
    """What runs, with the workflow's own setup. Raises ConfigurationError."""
    described = providers.known.of(workflow.provider)
    filled = fill_program(workflow, values, described.options)
    program, _ = _program(filled, providers, described.port, reload=False)
    return replace(program, setup=(*filled.setup, *program.setup))


def _reads(workflow: Workflow, options: Mapping[str, Option]) -> Iterator[str]:
    """Of a workflow that is filled in. What its `setup` makes can't be known."""
    if workflow.setup:
        return
    if workflow.working_dir != ".":
        yield workflow.working_dir
    for name, given in workflow.options.items():
        if options[name].must_exist and isinstance(given, str):
            yield posixpath.normpath(posixpath.join(workflow.working_dir, given))


def _retry_seconds(retry: Retry | None) -> int | None:
    if retry is None:
        return None
    return DEFAULT_RETRY_SECONDS if retry.duration is None else retry.duration


def _program(
    workflow: Workflow, providers: Providers, port: int | None, *, reload: bool
) -> tuple[Program, tuple[PortMapping, ...]]:
    """Of a workflow that is filled in; and the job's ports, the program's own first."""
    ports = workflow.ports
    if not ports and port is not None:
        ports = (PortMapping(app=port, local=port),)
    given = Given(
        workflow=workflow.name,
        commands=workflow.commands,
        image=workflow.image,
        entrypoint=None if workflow.entrypoint is None else tuple(workflow.entrypoint),
        python=workflow.python,
        port=ports[0].app if ports else 0,
        nodes=workflow.nodes,
        reload=reload,
    )
    program = providers.program(workflow.provider, workflow.options, given)
    return program, _with_page(ports, program)


def _with_page(ports: tuple[PortMapping, ...], program: Program) -> tuple[PortMapping, ...]:
    if not ports or not (program.page or program.token):
        return ports
    update = {"page": program.page, "token": program.token, "token_in": program.token_in}
    return (ports[0].model_copy(update=update), *ports[1:])

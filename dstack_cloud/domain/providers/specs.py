"""From a workflow to the jobs that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dstack_cloud.domain.interpolation import interpolate
from dstack_cloud.domain.jobs import JobSpec, PortMapping, SavedPath
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Retry
from dstack_cloud.domain.parsing.values import absolute, inside, inside_or_home
from dstack_cloud.domain.providers.filling import check_args, plain_values, secrets_of, shell_values
from dstack_cloud.domain.providers.making import Fill, Providers, filled, refuse_unavailable
from dstack_cloud.domain.providers.requirements import Overrides, requirements
from dstack_cloud.domain.providers.unbuilt import refuse_unbuilt
from dstack_cloud.domain.shell_references import with_references
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.base import Given, Program

# `retry: true` says no duration
DEFAULT_RETRY_SECONDS = 3600
_BUILT_IN = Providers()


def job_specs(
    workflow: Workflow,
    *,
    run_name: str,
    args: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    providers: Providers = _BUILT_IN,
) -> list[JobSpec]:
    """One job, for now. `overrides` are `Overrides`. Raises ConfigurationError, and NotAvailableYet for a provider or field that isn't built."""
    refuse_unavailable(providers.known, workflow.provider)
    refuse_unbuilt(workflow)
    check_args(args)
    shell, plain = shell_values(run_name, args), plain_values(run_name, args)
    program, ports = _program(workflow, providers, shell, plain)
    spec = JobSpec(
        workflow=workflow.name,
        provider=workflow.provider,
        commands=program.commands,
        image=program.image,
        entrypoint=program.entrypoint,
        installs=program.installs,
        python=workflow.python,
        working_dir=_path(workflow.working_dir, plain, inside),
        home_dir=workflow.home_dir and _path(workflow.home_dir, plain, absolute),
        artifacts=_saved({artifact.path: artifact.mount for artifact in workflow.artifacts}, plain),
        cache=_saved({cached.path: False for cached in workflow.cache}, plain),
        ports=ports,
        requirements=requirements(
            workflow.resources, cast(Overrides, overrides or {}), image=program.image, python=workflow.python
        ),
        max_duration=workflow.max_duration,
        retry_seconds=_retry_seconds(workflow.retry),
        secrets=secrets_of(workflow),
    )
    return [spec]


def _retry_seconds(retry: Retry | None) -> int | None:
    if retry is None:
        return None
    return DEFAULT_RETRY_SECONDS if retry.duration is None else retry.duration


def _program(
    workflow: Workflow, providers: Providers, shell: Mapping[str, str], plain: Mapping[str, str]
) -> tuple[Program, tuple[PortMapping, ...]]:
    """With the run's values in it; and the job's ports, the program's own first."""
    described = providers.known.of(workflow.provider)
    ports = workflow.ports
    if not ports and described.port is not None:
        ports = (PortMapping(app=described.port, local=described.port),)
    fill = Fill(shell, plain, lambda path: _path(path, plain, inside))
    entrypoint = workflow.entrypoint
    given = Given(
        workflow=workflow.name,
        commands=tuple(interpolate(with_references(command), shell) for command in workflow.commands),
        image=workflow.image and interpolate(workflow.image, plain),
        entrypoint=fill.split(entrypoint, "entrypoint")
        if isinstance(entrypoint, str)
        else entrypoint and tuple(interpolate(part, plain) for part in entrypoint),
        python=workflow.python,
        port=ports[0].app if ports else 0,
    )
    program = providers.program(workflow.provider, filled(workflow.options, described.options, fill), given)
    return program, _with_page(ports, program)


def _with_page(ports: tuple[PortMapping, ...], program: Program) -> tuple[PortMapping, ...]:
    if not ports or not (program.page or program.token):
        return ports
    return (ports[0].model_copy(update={"page": program.page, "token": program.token}), *ports[1:])


def _saved(paths: Mapping[str, bool], values: Mapping[str, str]) -> tuple[SavedPath, ...]:
    return tuple(SavedPath(path=_path(path, values, inside_or_home), mount=mount) for path, mount in paths.items())


def _path(given: str, values: Mapping[str, str], check: Callable[[str], str]) -> str:
    """Checked once more with the run's values in it: an argument may hold `..`."""
    try:
        return check(interpolate(given, values))
    except ConfigurationError as error:
        raise ConfigurationError(f"the path `{given}` can't be used: {error.summary}", error.hint) from error

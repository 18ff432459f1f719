"""From a workflow to the jobs that it is made of."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dstack_cloud.domain.interpolation import interpolate
from dstack_cloud.domain.jobs import JobSpec, SavedPath
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Retry
from dstack_cloud.domain.parsing.values import absolute, inside, inside_or_home
from dstack_cloud.domain.providers.filling import check_args, plain_values, secrets_of, shell_values
from dstack_cloud.domain.providers.registry import provider_named
from dstack_cloud.domain.providers.requirements import Overrides, requirements
from dstack_cloud.domain.providers.unbuilt import refuse_unbuilt
from dstack_cloud.domain.shell_references import with_references
from dstack_cloud.errors import ConfigurationError

# `retry: true` says no duration
DEFAULT_RETRY_SECONDS = 3600


def job_specs(
    workflow: Workflow, *, run_name: str, args: Sequence[str] = (), overrides: Mapping[str, object] | None = None
) -> list[JobSpec]:
    """One job, for now. `overrides` are `Overrides`. Raises ConfigurationError, and NotAvailableYet for a provider or field that isn't built."""
    provider = provider_named(workflow.provider)
    refuse_unbuilt(workflow)
    check_args(args)
    program = provider.program(workflow)
    shell, plain = shell_values(run_name, args), plain_values(run_name, args)
    image = program.image and interpolate(program.image, plain)
    spec = JobSpec(
        workflow=workflow.name,
        provider=provider.name,
        commands=tuple(interpolate(with_references(command), shell) for command in program.commands),
        image=image,
        entrypoint=_entrypoint(program.entrypoint, shell, plain),
        python=workflow.python,
        working_dir=_path(workflow.working_dir, plain, inside),
        home_dir=workflow.home_dir and _path(workflow.home_dir, plain, absolute),
        artifacts=_saved({artifact.path: artifact.mount for artifact in workflow.artifacts}, plain),
        cache=_saved({cached.path: False for cached in workflow.cache}, plain),
        ports=workflow.ports,
        requirements=requirements(
            workflow.resources, cast(Overrides, overrides or {}), image=image, python=workflow.python
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


def _entrypoint(
    given: str | tuple[str, ...] | None, shell: Mapping[str, str], plain: Mapping[str, str]
) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        try:
            return tuple(shlex.split(interpolate(given, shell)))
        except ValueError as error:
            raise ConfigurationError(
                f"the entrypoint `{given}` has a quote that is never closed", "close it"
            ) from error
    return tuple(interpolate(part, plain) for part in given)


def _saved(paths: Mapping[str, bool], values: Mapping[str, str]) -> tuple[SavedPath, ...]:
    return tuple(SavedPath(path=_path(path, values, inside_or_home), mount=mount) for path, mount in paths.items())


def _path(given: str, values: Mapping[str, str], check: Callable[[str], str]) -> str:
    """Checked once more with the run's values in it: an argument may hold `..`."""
    try:
        return check(interpolate(given, values))
    except ConfigurationError as error:
        raise ConfigurationError(f"the path `{given}` can't be used: {error.summary}", error.hint) from error

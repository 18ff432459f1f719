"""What of a workflow must stay secret: the environment and the registry's password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dstack_cloud.domain.interpolation import interpolate
from dstack_cloud.domain.jobs import Confidential, RegistryAuth
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.values import env_key
from dstack_cloud.domain.providers.filling import plain_values, secrets_of
from dstack_cloud.domain.secrets import places
from dstack_cloud.errors import ConfigurationError


def needs_env(workflow: Workflow) -> list[str]:
    """The variables that the file names without a value."""
    return [key for key, value in workflow.env.items() if value is None]


def confidential(
    workflow: Workflow, env: Mapping[str, str], *, run_name: str | None = None, args: Sequence[str] = ()
) -> Confidential:
    """The file's environment under the caller's, which wins; a variable that neither gives a value is left out.

    `run_name` and `args` fill in `${{ run.* }}`; without them those are errors, never empty texts. Raises
    ConfigurationError. `${{ secrets.NAME }}` become places, which are filled in when the job is handed to its runner.
    """
    _check_caller(env)
    values = places(secrets_of(workflow)) | ({} if run_name is None else plain_values(run_name, args))
    given = {key: interpolate(value, values) for key, value in workflow.env.items() if value is not None}
    login = workflow.registry_auth
    auth = None
    if login is not None:
        auth = RegistryAuth(username=interpolate(login.username, values), password=interpolate(login.password, values))
    return Confidential(env=given | dict(env), registry_auth=auth)


def _check_caller(env: Mapping[str, str]) -> None:
    for key, value in env.items():
        text = env_key(key)
        if text:
            raise ConfigurationError(text, "letters, digits and `_`, not beginning with a digit")
        if "\0" in value:
            raise ConfigurationError(f"the value of `{key}` holds a NUL character", "no program can be given one")

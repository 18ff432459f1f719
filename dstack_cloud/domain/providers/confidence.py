"""What of a workflow must stay secret: the environment and the registry's password."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_cloud.domain.jobs import Confidential, RegistryAuth
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.values import env_key
from dstack_cloud.domain.providers.filling import fill_environment, fill_login
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError


def needs_env(workflow: Workflow) -> list[str]:
    """The variables that the file names without a value."""
    return [key for key, value in workflow.env.items() if value is None]


def confidential(workflow: Workflow, values: Values, env: Mapping[str, str]) -> Confidential:
    """The workflow's variables, under the file's environment, under the caller's, which wins; a variable of the environment that
    neither gives a value is left out. Raises ConfigurationError. `${{ secrets.NAME }}` become places,
    which are filled in when the job is handed to its runner."""
    _check_caller(env)
    auth = None
    if workflow.registry_auth is not None:
        username, password = fill_login(workflow.registry_auth, workflow, values)
        auth = RegistryAuth(username=username, password=password)
    given = fill_environment(workflow, values)
    return Confidential(env={**values.environment, **given, **env}, registry_auth=auth)


def _check_caller(env: Mapping[str, str]) -> None:
    for key, value in env.items():
        text = env_key(key)
        if text:
            raise ConfigurationError(text, "letters, digits and `_`, not beginning with a digit")
        if "\0" in value:
            raise ConfigurationError(f"the value of `{key}` holds a NUL character", "no program can be given one")

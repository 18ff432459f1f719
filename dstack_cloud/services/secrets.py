"""The secrets of a project. No answer has a value."""

from __future__ import annotations

from collections.abc import Collection

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.secrets import Secret, check_name, check_value, unknown
from dstack_cloud.services.context import Context


def list_secrets(context: Context, project: str) -> list[schemas.SecretView]:
    context.project(project)
    found = context.world.database.secrets.of_project(project)
    return [{"name": secret.name, "updated_at": secret.updated_at} for secret in found]


def add(context: Context, project: str, name: str, value: str) -> None:
    """Raises UsageError for a name or a value that can't be one, Conflict where there is one."""
    check_name(name)
    context.world.database.secrets.add(_sealed(context, project, name, value))


def update(context: Context, project: str, name: str, value: str) -> None:
    """Jobs get it from their next attempt on. Raises NotFound."""
    if not context.world.database.secrets.update(_sealed(context, project, name, value)):
        raise unknown(name, names(context, project))


def delete(context: Context, project: str, name: str) -> None:
    """Raises NotFound."""
    known = names(context, project)
    if not context.world.database.secrets.delete(project, name):
        raise unknown(name, known)


def names(context: Context, project: str) -> list[str]:
    return [secret["name"] for secret in list_secrets(context, project)]


def check_usable(context: Context, project: str, wanted: Collection[str], workflow: str, place: str = "") -> list[str]:
    """The names of those that a job gets, which is each. `place` stands behind what is wrong. Raises ConfigurationError where one that the workflow refers to isn't
    there, or one can't be unsealed: before anything is started."""
    found = context.world.database.secrets.of_project(project)
    known = [secret.name for secret in found]
    for name in wanted:
        if name not in known:
            error = unknown(name, known)
            raise errors.ConfigurationError(
                f"the workflow `{workflow}` uses `${{{{ secrets.{name} }}}}`, and {error.summary}{place}", error.hint
            )
    for secret in found:
        context.sealer.open_secret(secret)
    for credential in context.world.database.credentials.of_project(project):
        context.sealer.open_secret(credential)
    return known


def _sealed(context: Context, project: str, name: str, value: str) -> Secret:
    context.project(project)
    check_value(value)
    return Secret(project, name, context.sealer.seal_secret(value), context.world.clock())

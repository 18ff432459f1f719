"""What `dstack config` shows and changes of the configuration. A change holds once the server was started again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstack_cloud import errors
from dstack_cloud.api import configuration as api
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.base.questions import (
    Configurable,
    Login,
    Permitted,
    Preparable,
    Questionnaire,
    Setting,
    Surroundings,
)
from dstack_cloud.domain.configuration import ProjectSettings
from dstack_cloud.domain.spelling import unknown
from dstack_cloud.services.context import Context


def overview(context: Context) -> api.ConfigurationView:
    backends = _any_backends(context)
    written = context.file.source() is not None
    questionnaires = _questionnaires(backends)
    return {
        "path": str(context.file.path),
        "exists": written,
        "projects": [_project(context, name, written, questionnaires) for name in context.settings],
        "backends": sorted(backends),
        "clouds": [cloud_view(name, each) for name, each in questionnaires.items()],
    }


def find_logins(context: Context, project: str, request: api.LoginsRequest) -> dict[str, list[api.LoginView]]:
    """By cloud, what credentials are on this computer. `project` may be one that isn't there yet."""
    settings = context.settings.get(project, ProjectSettings()).settings
    found = {}
    for name, each in _questionnaires(_any_backends(context)).items():
        around = Surroundings(Path.home(), request["environment"], settings.get(name, {}))
        found[name] = [_login(login) for login in each.find(around)]
    return found


def permissions(context: Context, project: str, name: str) -> api.PermissionsView:
    """The least that a backend needs in its cloud. Raises NotFound, UsageError."""
    backend = find_backend(context.backends(project), name)
    if not isinstance(backend, Permitted):
        raise errors.UsageError(f"{name} asks for no permissions of a cloud", None)
    least = backend.permissions(context.project(project).store)
    return {"document": least.document, "apply": least.apply}


def prepare(context: Context, project: str, name: str) -> api.PreparedView:
    """Makes what a backend's machines need once. Raises NotFound, BackendError."""
    backend = find_backend(context.backends(project), name)
    store = context.project(project).store
    return {"text": backend.prepare(store) if isinstance(backend, Preparable) else ""}


def find_backend(known: Mapping[str, Backend], name: str) -> Backend:
    """Raises NotFound with the nearest spelling."""
    if name not in known:
        raise errors.NotFound(unknown("backend", name, known))
    return known[name]


def questionnaire(context: Context, name: str) -> Questionnaire:
    """Raises NotFound, and UsageError for a backend of which `dstack config` knows nothing."""
    backend = find_backend(_any_backends(context), name)
    if not isinstance(backend, Configurable):
        raise errors.UsageError(
            f"`dstack config` doesn't know the settings of {name}",
            f"docs/reference/configuration.md does: {context.file.path}",
        )
    return backend.questionnaire


def _any_backends(context: Context) -> Mapping[str, Backend]:
    """Each project has all of this version's."""
    return context.world.backends[next(iter(context.settings))]


def _questionnaires(backends: Mapping[str, Backend]) -> dict[str, Questionnaire]:
    return {name: each.questionnaire for name, each in backends.items() if isinstance(each, Configurable)}


def _project(
    context: Context, name: str, written: bool, questionnaires: Mapping[str, Questionnaire]
) -> api.ProjectView:
    settings = context.settings[name]
    listed = [*settings.backends, *(each for each in settings.settings if each not in settings.backends)]
    return {
        "name": name,
        "default": name == context.default_project,
        "written": written,
        "store": settings.store,
        "store_options": dict(settings.store_options),
        "backends": [_backend(each, settings, questionnaires.get(each)) for each in listed],
    }


def _backend(name: str, project: ProjectSettings, asked: Questionnaire | None) -> api.BackendView:
    settings = dict(project.settings.get(name, {}))
    credential, found = "", True
    if asked is not None:
        logins = asked.find(Surroundings(Path.home(), {}, settings))
        login = next((each for each in logins if _is_meant(each, settings)), None)
        credential, found = (f"{login.name} ({login.place})", True) if login else (asked.nothing, False)
    return {
        "name": name, "named": name in project.backends, "credential": credential, "found": found, "settings": settings,
    }  # fmt: skip


def _is_meant(login: Login, settings: Mapping[str, Any]) -> bool:
    """What isn't set is the login's own affair, but for those that are chosen by leaving a setting out."""
    return all(settings.get(key, value if login.preferred else "") == value for key, value in login.settings.items())


def cloud_view(name: str, asked: Questionnaire) -> api.CloudView:
    return {
        "name": name,
        "title": asked.title,
        "scheme": asked.scheme,
        "nothing": asked.nothing,
        "reads": list(asked.reads),
        "unused": list(asked.unused),
        "settings": [_setting(each, asked) for each in asked.settings],
    }


def _setting(setting: Setting, asked: Questionnaire) -> api.SettingView:
    """The option of a list is given again for each of its values, so it has the name of one."""
    option = setting.key.replace("_", "-")
    return {
        "key": setting.key,
        "option": setting.option or (option.removesuffix("s") if setting.many else option),
        "comment": asked.said_of(setting.key),
        "question": setting.question,
        "many": setting.many,
        "required": setting.required,
        "default": setting.default,
        "of_store": setting.of_store,
        "known": list(asked.known(setting.key)),
    }


def _login(login: Login) -> api.LoginView:
    return {
        "name": login.name,
        "place": login.place,
        "settings": dict(login.settings),
        "suggests": dict(login.suggests),
        "preferred": login.preferred,
    }

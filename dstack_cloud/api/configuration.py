"""Of the JSON that server and client exchange, what is about config.yaml. No answer and no request has a credential."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

# in the place of a project's name: the one that the configuration says
DEFAULT_PROJECT = "-"


class SettingView(TypedDict):
    """One setting of a cloud; see `backends.base.questions.Setting`. `of_store`: only where the store is in this cloud. `known`: the values there are, [] where nobody can tell."""

    key: str
    option: str
    comment: str
    question: str
    many: bool
    required: bool
    default: str
    of_store: bool
    known: list[str]


class CloudView(TypedDict):
    """What `dstack config` asks about one backend. `reads`: variables of the user's shell whose values suggest something;
    `unused`: such that hold credentials which the server won't have."""

    name: str
    title: str
    scheme: str
    nothing: str
    reads: list[str]
    unused: list[str]
    settings: list[SettingView]


class LoginView(TypedDict):
    """A credential that was found; `settings` name it."""

    name: str
    place: str
    settings: dict[str, str]
    suggests: dict[str, Any]
    preferred: bool


class LoginsRequest(TypedDict):
    """`environment`: of the variables that the clouds name, those that are set; "" for a credential's."""

    environment: dict[str, str]


class BackendView(TypedDict):
    """`named`: it serves workflows that name no backend. `credential`: where it comes from, "" where none is needed; `found` is False
    where there is none."""

    name: str
    named: bool
    credential: str
    found: bool
    settings: dict[str, Any]


class ProjectView(TypedDict):
    """`store` is "" for a folder of this computer. `written` is False for what holds without a file."""

    name: str
    default: bool
    written: bool
    store: str
    store_options: dict[str, str]
    backends: list[BackendView]


class ConfigurationView(TypedDict):
    path: str
    exists: bool
    projects: list[ProjectView]
    backends: list[str]
    clouds: list[CloudView]


class ProjectRequest(TypedDict):
    """What is to hold for a project; None: as it is. An empty value takes the setting out of the file."""

    backends: list[str] | None
    store: str | None
    store_options: dict[str, str] | None
    settings: dict[str, dict[str, Any]]


class WrittenView(TypedDict):
    """`changed` is False where everything was so already. `backup`: where the former file is, "" where there was none. `kept`: what
    else the file has. `notes`: what isn't obvious."""

    path: str
    backup: str
    changed: bool
    kept: list[str]
    notes: list[str]


class PreparedView(TypedDict):
    """`text` is "" where there was nothing to make."""

    text: str


class PermissionsView(TypedDict):
    document: str
    apply: str

"""The conversation of `dstack config`: what was found, what must be asked, and what the server is to write of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dstack_cloud.cli.asking import ask, choose, words
from dstack_cloud.cli.failures import say
from dstack_cloud.domain.spelling import unknown
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.configuration import (
        BackendView,
        CloudView,
        ConfigurationView,
        LoginView,
        ProjectRequest,
        ProjectView,
        SettingView,
    )

HERE = "local"
SCHEMES = ("s3", "gs", "az", "file")


@dataclass(frozen=True)
class Wishes:
    """What the command line says. `add` is a backend that comes to those that there are; `settings` are its options. `asks`:
    somebody answers; else defaults do."""

    backends: Sequence[str] = ()
    add: str = ""
    store: str | None = None
    store_options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    asks: bool = True


class Wizard:
    """`logins` by cloud; `project` is what there is of it, None: nothing yet."""

    def __init__(
        self,
        view: ConfigurationView,
        logins: Mapping[str, Sequence[LoginView]],
        project: ProjectView | None,
        wishes: Wishes,
    ) -> None:
        self._view, self._logins, self._project, self._wishes = view, logins, project, wishes
        self._clouds = {cloud["name"]: cloud for cloud in view["clouds"]}

    def tell_found(self, environment: Mapping[str, str]) -> None:
        """A line a cloud."""
        width = max((len(name) for name in self._clouds), default=0)
        for name, cloud in self._clouds.items():
            found = ", ".join(f"{login['name']} ({login['place']})" for login in self._logins[name])
            told = f"found: {found}" if found else f"not found: {cloud['nothing']}"
            say(f"{name:<{width}}  {told}")
            if unused := [variable for variable in cloud["unused"] if variable in environment]:
                say(f"{'':<{width}}  not used: {', '.join(unused)} of this shell, which the server doesn't see")

    def request(self) -> ProjectRequest:
        """Raises UsageError."""
        wishes = self._wishes
        backends = self._backends()
        store = self._store()
        scheme = store.partition("://")[0]
        asked = [each for each in self._clouds.values() if each["name"] in backends or each["scheme"] == scheme]
        if wishes.add:
            asked = [self._clouds[wishes.add]]
        settings = {cloud["name"]: self._settings(cloud, in_store=cloud["scheme"] == scheme) for cloud in asked}
        same = self._project is not None and store == self._project["store"]
        options = {**(self._project["store_options"] if self._project and same else {}), **wishes.store_options}
        return {"backends": backends, "store": store, "store_options": options, "settings": settings}

    def _backends(self) -> list[str]:
        wishes = self._wishes
        there: list[str] = []
        if self._project and self._project["written"]:
            there = [each["name"] for each in self._project["backends"] if each["named"]]
        if wishes.add:
            return [*there, wishes.add] if wishes.add not in there else there
        if wishes.backends:
            return self._known_backends(" ".join(wishes.backends))
        default = there or [name for name in self._clouds if self._logins[name]] or [HERE]
        if not wishes.asks:
            return default
        question = f"Backends, of which the cheapest offer wins ({', '.join(self._view['backends'])})"
        return ask(question, ", ".join(default), self._known_backends)

    def _known_backends(self, answer: str) -> list[str]:
        names = words(answer)
        for name in names:
            if name not in self._view["backends"]:
                raise UsageError(unknown("backend", name, self._view["backends"]))
        return names

    def _settings(self, cloud: CloudView, *, in_store: bool) -> dict[str, Any]:
        """What is to stand in the file; "" and [] where the setting is to go."""
        given = self._wishes.settings if self._wishes.add == cloud["name"] else {}
        there = self._current(cloud["name"])
        login = self._login(cloud, given, there)
        chosen: dict[str, Any] = {}
        if login is not None:
            chosen = {key: value for key, value in login["settings"].items() if value or there.get(key)}
        for setting in cloud["settings"]:
            key = setting["key"]
            if key in given:
                chosen[key] = _read(cloud, setting, given[key])
            elif setting["of_store"] and not in_store:
                continue
            elif setting["question"] and not (login and key in login["settings"]):
                suggested = there.get(key) or (login["suggests"].get(key) if login else None) or setting["default"]
                if (answer := self._answer(cloud, setting, suggested)) or there.get(key):
                    chosen[key] = answer
        return chosen

    def _current(self, name: str) -> Mapping[str, Any]:
        found: list[BackendView] = self._project["backends"] if self._project else []
        return next((each["settings"] for each in found if each["name"] == name), {})

    def _login(self, cloud: CloudView, given: Mapping[str, Any], there: Mapping[str, Any]) -> LoginView | None:
        """None where there is none, or where the command line says which; the only one isn't asked about."""
        logins = list(self._logins[cloud["name"]])
        keys = {key for login in logins for key in login["settings"]}
        if not logins or keys & set(given):
            return None
        current = next((n for n, each in enumerate(logins) if there and _fits(each, there)), None)
        preferred = next((n for n, each in enumerate(logins) if each["preferred"]), 0)
        default = preferred if current is None else current
        if len(logins) > 1 and self._wishes.asks:
            names = [f"{login['name']} ({login['place']})" for login in logins]
            default = choose(f"Which login of {cloud['title']}", names, default)
        return logins[default]

    def _answer(self, cloud: CloudView, setting: SettingView, suggested: Any) -> Any:  # noqa: ANN401 - text or a list of them
        default = ", ".join(suggested) if isinstance(suggested, list | tuple) else str(suggested or "")
        if self._wishes.asks:
            return ask(setting["question"], default, lambda answer: _read(cloud, setting, answer))
        if setting["required"] and not default:
            raise UsageError(
                f"{cloud['title']}: nothing on this computer says which {setting['key']}",
                f"say it: `dstack {cloud['name']} config --{setting['option']} …`",
            )
        return _read(cloud, setting, default)

    def _store(self) -> str:
        project = self._project
        current = project["store"] if project else ""
        if self._wishes.store is not None:
            return _read_store(self._wishes.store)
        if not self._wishes.asks or (self._wishes.add and project and project["written"]):
            return current
        wanted = " or ".join(f"{cloud['scheme']}://…/folder" for cloud in self._clouds.values())
        question = f"Where code, logs and artifacts are kept ({wanted}; local: a folder of this computer)"
        return ask(question, current or HERE, _read_store)


def shell(clouds: Sequence[CloudView]) -> dict[str, str]:
    """Of this shell's variables, what the clouds ask for. Of those that hold credentials only that they are set."""
    reads = {name: os.environ[name] for cloud in clouds for name in cloud["reads"] if os.environ.get(name)}
    return reads | {name: "" for cloud in clouds for name in cloud["unused"] if os.environ.get(name)}


def option_values(cloud: CloudView, given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Settings by key, from the words of a command line by option name. Raises UsageError for those that there aren't."""
    settings = {setting["option"]: setting for setting in cloud["settings"]}
    found: dict[str, Any] = {}
    for option, values in given.items():
        if option not in settings:
            raise UsageError(unknown("option", f"--{option}", [f"--{name}" for name in settings]))
        setting = settings[option]
        if len(values) > 1 and not setting["many"]:
            raise UsageError(f"`--{option}` is given twice", "give it once")
        found[setting["key"]] = " ".join(values)
    return found


def option_lines(cloud: CloudView) -> list[tuple[str, str]]:
    """For the help: each option and what it is."""
    return [
        (f"--{each['option']}", each["comment"] + ("; may be given again" if each["many"] else ""))
        for each in cloud["settings"]
    ]


def _fits(login: LoginView, settings: Mapping[str, Any]) -> bool:
    return all(settings.get(key, "") == value for key, value in login["settings"].items())


def _read(cloud: CloudView, setting: SettingView, answer: str) -> Any:  # noqa: ANN401 - text or a list of them
    values = words(answer) if setting["many"] else [answer.strip()]
    if setting["required"] and not any(values):
        raise UsageError(f"{cloud['title']} can't do without", setting["comment"])
    if setting["known"]:
        for value in filter(None, values):
            if value not in setting["known"]:
                raise UsageError(unknown(setting["key"].removesuffix("s"), value, setting["known"]))
    return values if setting["many"] else values[0]


def _read_store(answer: str) -> str:
    if answer.lower() in ("", HERE):
        return ""
    scheme, colon, place = answer.partition("://")
    if not colon:
        raise UsageError(f"{answer!r} is no URL of a store", "s3://bucket/folder, for example, or local")
    if scheme not in SCHEMES:
        raise UsageError(unknown("kind of store", scheme, SCHEMES))
    if not place.strip("/"):
        raise UsageError(f"{answer!r} names no bucket", f"{scheme}://bucket/folder")
    return answer

"""What the commands about config.yaml share: going through the wizard, and what is said of a file that was written."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.cli import wizard
from dstack_cloud.cli.asking import somebody_is_there
from dstack_cloud.cli.failures import say
from dstack_cloud.client import Client
from dstack_cloud.domain.spelling import unknown
from dstack_cloud.errors import DstackError, NotAvailableYet, UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.configuration import CloudView, ConfigurationView, ProjectView, WrittenView


@dataclass(frozen=True)
class Words:
    """What a command line says. `cloud` and `settings` (by option name) are those of `dstack CLOUD config`."""

    project: str = ""
    backends: Sequence[str] = ()
    store: str | None = None
    store_options: Sequence[str] = ()
    yes: bool = False
    cloud: str = ""
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)


def go_through(words: Words) -> None:
    """Raises UsageError where nobody can be asked. Nothing is written before the last answer."""
    if not words.yes and not somebody_is_there():
        raise UsageError(
            "nobody is there to answer the questions", "-y takes what was found and the defaults; options say the rest"
        )
    client = up_to_date(words.project)
    view = client.configuration.view()
    cloud = cloud_of(view, words.cloud) if words.cloud else None
    wishes = wizard.Wishes(
        backends=words.backends,
        add=words.cloud,
        store=words.store,
        store_options=_pairs(words.store_options),
        settings=wizard.option_values(cloud, words.settings) if cloud else {},
        asks=not words.yes,
    )
    environment = wizard.shell(view["clouds"])
    asking = wizard.Wizard(view, client.configuration.logins(environment), _project(view, words.project), wishes)
    try:
        asking.tell_found(environment)
        request = asking.request()
    except KeyboardInterrupt:
        say("\nnothing was written")
        raise
    written = client.configuration.configure(request)
    tell(client, written)
    for name in request["settings"]:
        _prepare(client, name)
    if paid := [name for name in request["backends"] or () if name in [each["name"] for each in view["clouds"]]]:
        say(
            f"a workflow that names no backend runs on {', '.join(paid)} from now on, for money; `--backend` says where else"
        )
    say("`dstack config check` looks whether all of it works")


def up_to_date(project: str = "") -> Client:
    """One whose server has read the file as it is now. Raises ConfigurationError where it can't."""
    client = Client(project=project)
    if client.configuration.reload_if_changed():
        say("config.yaml was changed: the server has read it again")
    return client


def tell(client: Client, written: WrittenView) -> None:
    """What was written, and that the server knows."""
    for note in written["notes"]:
        say(f"note: {note}")
    if not written["changed"]:
        print(f"{_short(written['path'])} says that already")
        return
    client.configuration.reload()
    print(f"wrote {_short(written['path'])}; the server has read it")
    if written["kept"]:
        say(f"kept: {', '.join(written['kept'])}")
    if written["backup"]:
        say(f"as it was before: {_short(written['backup'])}")


def _prepare(client: Client, backend: str) -> None:
    """What can't be made now is made, or told of, at the first launch."""
    try:
        if made := client.configuration.prepare(backend):
            say(f"{backend}: {made}")
    except DstackError as wrong:
        say(f"warning: {backend}: {wrong.summary}" + (f" ({wrong.hint})" if wrong.hint else ""))


def cloud_of(view: ConfigurationView, name: str) -> CloudView:
    for cloud in view["clouds"]:
        if cloud["name"] == name:
            return cloud
    raise NotAvailableYet(f"this version has no backend {name}", f"it has: {', '.join(view['backends'])}")


def _project(view: ConfigurationView, name: str) -> ProjectView | None:
    meant = name or os.environ.get("DSTACK_PROJECT", "")
    return next((each for each in view["projects"] if (each["name"] == meant if meant else each["default"])), None)


def _pairs(options: Sequence[str]) -> dict[str, str]:
    for each in options:
        if not each.partition("=")[1]:
            raise UsageError(f"{each!r} is no option of a store", "write NAME=VALUE, such as region=eu-west-1")
    return {name: value for name, _, value in (each.partition("=") for each in options)}


def _short(path: str) -> str:
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path.startswith(f"{home}/") else path


def known_project(view: ConfigurationView, name: str) -> ProjectView:
    """Raises UsageError."""
    found = _project(view, name)
    if found is None:
        raise UsageError(unknown("project", name, [each["name"] for each in view["projects"]]))
    return found


def warn_of_nothing(view: ConfigurationView) -> None:
    if not view["exists"]:
        print(f"no {_short(view['path'])} yet: `dstack config` makes it", file=sys.stderr)

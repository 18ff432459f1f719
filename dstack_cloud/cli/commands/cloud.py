"""`dstack aws config`, `dstack gcp config` …: the part of `dstack config` that is about one cloud, with its settings as options."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dstack_cloud.cli.application import application, takes
from dstack_cloud.cli.commands.config import Defaults, Project, Store, StoreOptions
from dstack_cloud.cli.configuring import Words, cloud_of, go_through, up_to_date
from dstack_cloud.cli.wizard import option_lines
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.configuration import CloudView

app = application("Set up this cloud.")


class Options(NamedTuple):
    project: Project = ""
    store: Store = None
    store_option: StoreOptions = None
    yes: Defaults = False
    help: Annotated[bool, typer.Option("-h", "--help", help="Show this.")] = False


@app.callback()
def cloud() -> None:
    """Set up this cloud: `config` finds its credentials, asks for the rest, and adds it to the project."""


@app.command(
    "config",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
@takes(Options)
def config(context: typer.Context, options: Options) -> None:
    """Find its credentials, ask what is missing, and add it to the project's backends. Its settings are options, too."""
    name = str(context.find_root().info_name).split()[-1]  # of `dstack aws`
    if options.help:
        print(_page(context.get_help(), cloud_of(up_to_date().configuration.view(), name)))
        return
    given = _options(context.args)
    stores = tuple(options.store_option or ())
    go_through(Words(options.project, (), options.store, stores, options.yes, name, given))


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    """The values of each option: `--name VALUE` or `--name=VALUE`. Raises UsageError."""
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UsageError(f"what is `{word}`?", "settings are options: --region eu-west-1")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"`{word}` needs a value")
            value = rest.pop(0)
        found.setdefault(name, []).append(value)
    return found


def _page(general: str, cloud: CloudView) -> str:
    lines = option_lines(cloud)
    width = max(len(option) for option, _ in lines)
    rows = [(f"  {option:<{width}}  ", text) for option, text in lines]
    own = "\n".join(
        textwrap.fill(text, 78, initial_indent=head, subsequent_indent=" " * len(head)) for head, text in rows
    )
    return f"{general}\n\nSettings of {cloud['title']}:\n{own}"

"""The command line, as typer reads it and as `-h` shows it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from dstack_cloud.cli.commands import cloud
from dstack_cloud.cli.failures import EXIT_CODES
from dstack_cloud.cli.field_options import FIELDS
from dstack_cloud.cli.main import ALIASES, COMMANDS
from dstack_cloud.cli.provider_words import SHORT, option_of
from dstack_cloud.cli.wizard import option_lines
from dstack_cloud.reference.settings import QUESTIONNAIRES
from dstack_cloud.reference.tables import table
from dstack_cloud.services.configuration import cloud_view

_HELP = "--help"


def overview() -> str:
    rows = []
    for name, (_, text) in COMMANDS.items():
        also = [alias for alias, meant in ALIASES.items() if meant == name]
        rows.append((", ".join(f"`{each}`" for each in (name, *also)), text))
    return table(("command", ""), rows)


def exit_codes() -> str:
    return table(("code", "meaning"), [(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def command(name: str) -> str:
    """Usage, what it does, and a table of what it takes; of each of its subcommands, too."""
    module = import_module(f"dstack_cloud.cli.commands.{COMMANDS[name][0]}")
    root = get_command(module.app)
    subcommands = getattr(root, "commands", {"": root})
    described = [_described(each, f"dstack {name} {sub}".rstrip()) for sub, each in subcommands.items()]
    if module is cloud:
        described.append(_settings_of(name))
    return "\n\n".join(described)


def options_of_fields() -> str:
    """Those of `dstack run PROVIDER` that are fields of every workflow."""
    letters = {field: f"`{letter}`, " for letter, field in SHORT.items()}
    rows = [(f"{letters.get(field, '')}`{option_of(field)}`", f"`{field}`", text) for field, text in FIELDS.items()]
    return table(("option", "field", ""), rows)


def _described(each: Any, path: str) -> str:  # noqa: ANN401 - typer's command
    context = typer.Context(each, info_name=path)
    usage = " ".join([path, *each.collect_usage_pieces(context)])
    records = [part.get_help_record(context) for part in each.get_params(context) if _HELP not in part.opts]
    rows = [(f"`{name}`", text) for name, text in filter(None, records)]
    told = [f"    {usage}", " ".join((each.help or "").split())]
    return "\n\n".join([*told, *([table(("argument or option", ""), rows)] if rows else [])])


def _settings_of(name: str) -> str:
    view = cloud_view(name, QUESTIONNAIRES[name])
    rows = [(f"`{option} VALUE`", text) for option, text in option_lines(view)]
    return table((f"setting of {view['title']}", ""), rows)

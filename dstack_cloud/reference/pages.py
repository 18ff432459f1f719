"""The parts of pages that are made from the code. They stand between two marks; what is around them is written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from dstack_cloud.cli.main import COMMANDS
from dstack_cloud.domain.configuration import Configuration, ProjectSettings
from dstack_cloud.domain.parsing.model import SECTIONS
from dstack_cloud.reference import commands, fields, providers, settings
from dstack_cloud.reference.tables import fields_table

Parts = Mapping[str, Callable[[], str]]

BEGIN = "<!-- made by `make docs`: {name} -->"
END = "<!-- until here -->"
_PART = re.compile(
    re.escape(BEGIN).replace(re.escape("{name}"), "(?P<name>[^\n]+?)") + "\n.*?" + re.escape(END), re.DOTALL
)


def parts() -> Parts:
    return {
        "commands": commands.overview,
        "exit codes": commands.exit_codes,
        **{f"command {name}": partial(commands.command, name) for name in COMMANDS},
        "options of fields": commands.options_of_fields,
        "providers": providers.overview,
        "provider sections": providers.sections,
        "fields of a workflow": fields.ready,
        "fields for later": fields.later,
        **{f"fields of {name}": partial(fields_table, model) for name, model in SECTIONS.items()},
        "keys of the configuration": partial(fields_table, Configuration),
        "keys of a project": partial(fields_table, ProjectSettings),
        **{f"settings of {name}": partial(fields_table, model) for name, model in settings.MODELS.items()},
    }


def filled(page: str, made_of: Parts) -> str:
    """The page with each of its parts as the code would write it. KeyError for a part that there isn't."""

    def made(match: re.Match[str]) -> str:
        name = match["name"]
        text = made_of[name]().strip("\n")
        return f"{BEGIN.format(name=name)}\n\n{text}\n\n{END}"

    return _PART.sub(made, page)


def named(page: str) -> list[str]:
    """The parts that a page has."""
    return [match["name"] for match in _PART.finditer(page)]

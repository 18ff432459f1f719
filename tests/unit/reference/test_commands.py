"""The command lines that the documentation shows are ones that the program takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import typer
from typer.main import get_command

from dstack_cloud.cli.failures import EXIT_CODES
from dstack_cloud.cli.main import ALIASES, COMMANDS
from dstack_cloud.cli.provider_words import SHORT, options_of
from dstack_cloud.domain.variables import form
from dstack_cloud.errors import DstackError
from dstack_cloud.providers.description import describe
from dstack_cloud.providers.registry import PROVIDERS
from dstack_cloud.reference.settings import QUESTIONNAIRES
from dstack_cloud.services.configuration import cloud_view
from tests.architecture.sources import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
# what stands for the name of a command
PLACEHOLDERS = {"CLOUD": "aws", "NAME": "aws"}
_LINE = re.compile(r"(?:^ {4}|^|`)(?:\$ )?(?:[A-Z_]+=\S+ )*dstack (?P<words>[^`\n]+)(?:`|$)", re.MULTILINE)
# what the workflows of these pages take themselves: variables, and words for `${{ run.args }}`
VARIABLES = {"batch-size", "batch_size", "lr", "epochs", "model", "rate", "shape", "width", "gamma"}


def lines() -> Iterator[str]:
    for page in PAGES:
        for match in _LINE.finditer(page.read_text(encoding="utf-8")):
            if "COMMAND" not in match["words"] and "[OPTIONS]" not in match["words"]:
                yield match["words"]


def words_of(line: str) -> list[str]:
    """Those that are dstack's own, up to a redirection."""
    words = shlex.split(line, comments=True)
    ends = [words.index(end) for end in ("--", ">", "<", "|") if end in words]
    return words[: min(ends, default=len(words))]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """As typer has it, and the words behind its name."""
    name = PLACEHOLDERS.get(words[0], ALIASES.get(words[0], words[0]))
    module = import_module(f"dstack_cloud.cli.commands.{COMMANDS[name][0]}")
    found: Any = get_command(module.app)
    rest = words[1:]
    subcommands = getattr(found, "commands", None)
    if subcommands and rest and rest[0] in subcommands:
        return subcommands[rest[0]], rest[1:]
    return (subcommands[module.DEFAULT], rest) if subcommands and hasattr(module, "DEFAULT") else (found, rest)


def options_taken(command: Any, words: list[str]) -> set[str]:
    context = typer.Context(command, info_name="dstack")
    taken = {name for part in command.get_params(context) for name in (*part.opts, *part.secondary_opts)}
    if words[0] in QUESTIONNAIRES:
        settings = cloud_view(words[0], QUESTIONNAIRES[words[0]])["settings"]
        taken |= {f"--{each['option']}" for each in settings}
    return taken | {"-h"}


def is_known(option: str, words: list[str], taken: set[str]) -> bool:
    if option in taken:
        return True
    if words[0] != "run" or len(words) < 2:
        return False
    name = next((word for word in words[1:] if not word.startswith("-")), "")
    fields = options_of(describe(PROVIDERS[name])) if name in PROVIDERS else {}
    return option in SHORT or option[2:] in VARIABLES or form(option[2:]) in fields


@pytest.mark.parametrize("line", sorted(set(lines())))
def test_a_line_of_the_documentation_has_options_that_there_are(line: str) -> None:
    words = words_of(line)
    if words[0].startswith("-"):
        assert words[0] in ("-h", "--help", "--version")
        return
    command, rest = command_of(words)
    taken = options_taken(command, words)
    for word in rest:
        if re.match("--?[a-zA-Z]", word):
            option = word.partition("=")[0]
            assert is_known(option, words, taken), f"{option} in `dstack {line}`"


def test_every_exit_code_of_an_error_is_told() -> None:
    classes: list[type[DstackError]] = [DstackError]
    for each in classes:
        classes.extend(each.__subclasses__())
    assert {each.exit_code for each in classes} <= EXIT_CODES.keys()

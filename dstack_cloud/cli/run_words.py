"""The words of `dstack run` before typer reads them: which behind the workflow's name are its variables.

Before the name every option is dstack's own; behind it, a variable of the workflow comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dstack_cloud.cli.option_values import value_of
from dstack_cloud.cli.sources import read_any, read_sources
from dstack_cloud.client import Client
from dstack_cloud.domain.variables import find_name, form
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import WorkflowDetail
    from dstack_cloud.cli.provider_words import Asked


@dataclass(frozen=True)
class Words:
    """`variables`: what is given another value; `rest`: what stands behind `--`; `workflow` is None where nobody needed to know.
    `provider`: what is to run where the name is that of a provider, and of no workflow."""

    variables: Mapping[str, str] = field(default_factory=dict)
    rest: Sequence[str] = ()
    workflow: WorkflowDetail | None = None
    provider: Asked | None = None


def arrange(command: Any, args: list[str], rest: list[str]) -> tuple[list[str], Words]:  # noqa: ANN401 - typer's command
    """What typer is to read, and what not. Raises UsageError for a variable without a value, or given twice."""
    at = _place_of_name(command.params, args)
    behind = args[at + 1 :]
    if args and _is_provider(args[at]):
        from dstack_cloud.cli import provider_words

        asked, left = provider_words.take(args[at], behind)
        return [*args[: at + 1], *left], Words(rest=rest, provider=asked)
    if not any(word.startswith("--") for word in behind) or args[at].startswith("-"):
        return args, Words(rest=rest)
    workflow = Client().workflow(read_sources(Path.cwd()), args[at])
    variables, left = take_variables(behind, [variable["name"] for variable in workflow["variables"]])
    return [*args[: at + 1], *left], Words(variables, rest, workflow)


def _is_provider(name: str) -> bool:
    """And no workflow: that comes first. Files with problems may define it, and are refused for them."""
    from dstack_cloud.providers.registry import PROVIDERS

    if name not in PROVIDERS:
        return False
    files = read_any(Path.cwd())
    checked = Client().check(files) if files else None
    return checked is None or not (checked["problems"] or any(each["name"] == name for each in checked["workflows"]))


def refuse_near_provider(name: str) -> None:
    """Raises UsageError where there is no workflow at all, and a provider has almost this name."""
    from dstack_cloud.providers.registry import PROVIDERS

    near = get_close_matches(name, PROVIDERS, 1, 0.6)
    if near and not read_any(Path.cwd()):
        text = f"there is no provider `{name}`, and no workflow in {Path.cwd()}"
        raise UsageError(text, f"did you mean `{near[0]}`? The providers: {', '.join(PROVIDERS)}")


def _place_of_name(parameters: Sequence[Any], args: Sequence[str]) -> int:
    """The index of the first word that is no option, nor the value of one; of the last word where there is none."""
    valued = {name for each in parameters if not getattr(each, "is_flag", True) for name in each.opts}
    at = 0
    while at < len(args) - 1 and args[at].startswith("-") and args[at] != "-":
        at += 2 if _awaits_value(args[at], valued) else 1
    return min(at, len(args) - 1)


def _awaits_value(word: str, valued: set[str]) -> bool:
    if word.startswith("--"):
        return word in valued
    # letters may stand together: `-dt best`; what follows one that takes a value is that value
    first = next((index for index, letter in enumerate(word[1:], 1) if f"-{letter}" in valued), 0)
    return first == len(word) - 1


def take_variables(words: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables' new values, and the other words. `--batch-size 32`, `--batch_size=32` … are the same."""
    taken: dict[str, str] = {}
    left: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        given, equals, value = word.removeprefix("--").partition("=")
        name = find_name(given, names) if word.startswith("--") else None
        if name is None:
            left.append(word)
            continue
        if not equals:
            value = value_of(word, words[position : position + 1])
            position += 1
        if name in taken:
            raise UsageError(f"`--{given}` is given twice: {taken[name]} and {value}", "give it once")
        taken[name] = value
    return taken, left


def refuse_unused(words: Sequence[str], workflow: WorkflowDetail | None, own: Sequence[str]) -> None:
    """Raises UsageError for an option that is neither dstack's nor a variable, where the workflow takes no arguments."""
    if workflow is None or workflow["takes_args"]:
        return
    for word in words:
        if word.startswith("--"):
            given = word[2:].partition("=")[0]
            variables = [variable["name"] for variable in workflow["variables"]]
            raise UsageError(f"there is no option `--{given}`", _hint(given, variables, own, workflow["name"]))


def _hint(given: str, variables: Sequence[str], own: Sequence[str], workflow: str) -> str:
    choices = {form(name): name for name in (*variables, *own)}
    near = get_close_matches(form(given), choices, 1, 0.6)
    if near:
        return f"did you mean `--{choices[near[0]]}`?"
    known = f"its variables: {', '.join(f'--{name}' for name in variables)}" if variables else "it has no variables"
    return f"`{workflow}` doesn't use ${{{{ run.args }}}}, and {known}; `dstack run -h` lists dstack's own options"

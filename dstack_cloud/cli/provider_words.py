"""`dstack run PROVIDER …` without a workflow: its words become one, in a file that only this command has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.cli.failures import COMMAND_LINE
from dstack_cloud.cli.field_options import FIELDS, LISTS, PLAIN
from dstack_cloud.cli.option_values import value_of
from dstack_cloud.domain.variables import form
from dstack_cloud.errors import UsageError
from dstack_cloud.providers.description import Description, describe
from dstack_cloud.providers.registry import PROVIDERS

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import SourceFile

ARGS = "${{ run.args }}"
SHORT = {"-c": "commands", "-p": "ports", "-a": "artifacts", "-w": "working_dir"}
# the field that the first word behind the name is, where it isn't the first option that must be there
FIRST = {"docker": "image", "ray": "file"}
# dstack's own flags and one of `SHORT`, such as `-dc`
_TOGETHER = re.compile("-[dy]+[cpaw]")
_PLAIN = re.compile(r"[0-9]+|true|false")


@dataclass(frozen=True)
class Asked:
    """A provider and what the options say, by field; what else stands on the command line comes later."""

    provider: str
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def first(self) -> str | None:
        return first_of(describe(PROVIDERS[self.provider]))

    @property
    def spellings(self) -> list[str]:
        return [name.replace("_", "-") for name in options_of(describe(PROVIDERS[self.provider]))]


def first_of(described: Description) -> str | None:
    required = (name for name, option in described.options.items() if option.required)
    return FIRST.get(described.name) or next(required, None)


def option_of(field: str) -> str:
    """How a field is spelled on the command line."""
    return f"--{field.rpartition('.')[2].replace('_', '-')}"


def options_of(described: Description) -> dict[str, str]:
    """Each spelling of an option, by `form` → the field that it is."""
    common = {name.rpartition(".")[2]: name for name in FIELDS}
    own = {form(spelled): name for spelled, name in described.spellings.items()}
    return {**common, **own}


def take(provider: str, words: Sequence[str]) -> tuple[Asked, list[str]]:
    """What the options say, and the other words. Raises UsageError for one without a value, or given twice."""
    described = describe(PROVIDERS[provider])
    known = options_of(described)
    fields: dict[str, list[str]] = {}
    left: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if _TOGETHER.fullmatch(word):
            left.append(word[:-1])
            word = f"-{word[-1]}"
        given, equals, value = word.removeprefix("--").partition("=")
        name = known.get(form(given)) if word.startswith("--") else SHORT.get(word)
        if name is None:
            left.append(word)
            continue
        if name == "commands" and name not in described.takes:
            raise UsageError(f"{provider} has no option `{given}`", _usage_hint(described))
        if word in SHORT or not equals:
            value = value_of(word, words[position : position + 1], anything=word == "-c")
            position += 1
        if name in fields and name not in LISTS:
            hint = "give it once; what is meant for the program stands behind `--`"
            raise UsageError(f"`{word}` is given twice: {fields[name][0]} and {value}", hint)
        fields.setdefault(name, []).append(value)
    return Asked(provider, fields), left


def workflow_file(asked: Asked, words: Sequence[str], rest: Sequence[str]) -> tuple[SourceFile, list[str]]:
    """The workflow, of the provider's name, and its arguments. `words` stand behind the name, `rest` behind `--`. Raises UsageError
    for words that have no place."""
    described = describe(PROVIDERS[asked.provider])
    fields = {name: list(values) for name, values in asked.fields.items()}
    words = list(words)
    first = asked.first
    if first is not None and first not in fields and "commands" not in fields and words:
        _refuse_option(words[0], described)
        fields[first] = [words.pop(0)]
    args = [*words, *rest]
    _refuse_lack(fields, args, described)
    if args:
        _place_args(fields, args, described)
    text = "\n".join(["workflows:", f"- name: {asked.provider}", f"  provider: {asked.provider}", *_lines(fields)])
    return {"path": COMMAND_LINE, "text": text + "\n"}, args


def _refuse_lack(fields: Mapping[str, Sequence[str]], args: Sequence[str], described: Description) -> None:
    first, takes_words = first_of(described), "commands" in described.needs
    there = "commands" in fields or first in fields or (takes_words and args)
    if not there and (first is not None or takes_words):
        raise UsageError(
            f"{described.name} has nothing to run", f"say `dstack run {described.name} {usage(described)}`"
        )


def usage(described: Description) -> str:
    first = first_of(described)
    if described.name in ("bash", "ray"):
        return "[OPTIONS] (-c COMMANDS | FILE [ARGS])"
    if described.name == "docker":
        return "[OPTIONS] IMAGE [COMMAND [ARGS]]"
    if first is None:
        return "[OPTIONS]"
    args = " [ARGS]" if "args" in described.options else ""
    return f"[OPTIONS] {first.upper()}{args}"


def _place_args(fields: dict[str, list[str]], args: Sequence[str], described: Description) -> None:
    """Where `${{ run.args }}` stands; commands that are given say it themselves."""
    if "args" in described.options:
        if "args" in fields:
            raise UsageError("the arguments are given twice: with `--args` and as words", "keep one of them")
        fields["args"] = [ARGS]
    elif "commands" not in described.takes:
        _refuse_option(args[0], described)
        raise UsageError(f"{described.name} takes no word like `{args[0]}`", _usage_hint(described))
    elif "commands" not in fields:
        _refuse_option(args[0], described)
        if described.name == "bash" and "deps" not in fields:
            _refuse_missing(args[0], Path(*fields.get("working_dir", ())))
        fields["commands"] = [f"bash {ARGS}" if described.name == "bash" else ARGS]


def _refuse_missing(script: str, folder: Path) -> None:
    """Better now than on a machine. One that isn't of the working folder may be there in the image."""
    if not script.startswith(("/", "~")) and not (folder / script).is_file():
        hint = f"a command is given with -c: `dstack run bash -c {script}`"
        raise UsageError(f"there is no script {folder / script} here", hint)


def _refuse_option(word: str, described: Description) -> None:
    if not word.startswith("-"):
        return
    spelled = {name: name.replace("_", "-") for name in options_of(described)}
    near = get_close_matches(form(word.lstrip("-").partition("=")[0]), spelled, 1, 0.6)
    hint = f"did you mean `--{spelled[near[0]]}`?" if near else _usage_hint(described)
    raise UsageError(f"{described.name} has no option `{word}`", hint)


def _usage_hint(described: Description) -> str:
    return f"`dstack run {described.name} -h` says what it takes"


def _lines(fields: Mapping[str, Sequence[str]]) -> Iterator[str]:
    nested = {name.partition(".")[2]: values for name, values in fields.items() if "." in name}
    for name, values in fields.items():
        if "." not in name:
            yield f"  {name}: {_value(name, values)}"
    if nested:
        yield "  resources:"
        yield from (f"    {name}: {_value(f'resources.{name}', values)}" for name, values in nested.items())


def _value(name: str, values: Sequence[str]) -> str:
    if name in LISTS or values == [ARGS]:
        return f"[{', '.join(map(_quoted, values))}]"
    return values[0] if name in PLAIN and _PLAIN.fullmatch(values[0]) else _quoted(values[0])


def _quoted(text: str) -> str:
    """With escapes for all that YAML might change."""
    plain = (each if " " <= each <= "~" and each not in '"\\' else f"\\U{ord(each):08x}" for each in text)
    return f'"{"".join(plain)}"'

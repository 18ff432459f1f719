"""What is wrong with a file, in words for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """`where` is the key path (`workflows[0].resources.gpu`); line and column count from 1, 0 where unknown."""

    file: str
    line: int
    column: int
    where: str
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}"


@dataclass(frozen=True)
class Finding:
    """A problem before it has a place: `at` is the path inside the workflow; `text` goes on after the field's name.

    `on_key`: the key itself is wrong, not its value.
    """

    at: Path
    text: str
    hint: str | None = None
    on_key: bool = False


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was most likely meant to be: one that looks like it, else the one that begins with it."""
    form, by_form = _form(word), dict[str, str]()
    for choice in choices:
        by_form.setdefault(_form(choice), choice)
    close = difflib.get_close_matches(form, by_form, 1, 0.6)
    begun = [each for each in by_form if len(form) > 2 and each.startswith(form)]
    meant = close or (begun if len(begun) == 1 else [])
    return by_form[meant[0]] if meant else None


def nearest_hint(word: str, choices: Iterable[str], kind: str) -> str:
    """ "did you mean `x`?", else all choices."""
    names = list(choices)
    near = nearest(word, names)
    return f"did you mean `{near}`?" if near else f"{kind}: {', '.join(names)}"


def shown(text: str, limit: int = 40) -> str:
    """`text` in backticks, on one line, without control characters, and not longer than `limit`."""
    return f"`{printable(text, limit)}`"


def printable(text: str, limit: int) -> str:
    """`text` on one line, without characters that a terminal would obey, cut at `limit` characters."""
    line = "".join(char if char.isprintable() else " " for char in text[: limit + 1])
    return f"{line[:limit]}…" if len(line) > limit else line


def written(path: Path) -> str:
    """("workflows", 0, "name") as `workflows[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _form(word: str) -> str:
    return word.lower().replace("_", "-")

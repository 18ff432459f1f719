"""`$name` and `${{ name }}` in a workflow's strings. Only the second form is strict: a `$name` that stands for nothing, `$$` and
`${name}` belong to the shell.

`$${{ name }}` stands for the text `${{ name }}` itself. What was put in is never read again for more.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from dstack_cloud.domain.variables import Value, form
from dstack_cloud.errors import ConfigurationError, UsageError

TOKEN = re.compile(
    r"(?P<escaped>\$\$\{\{)|\$\{\{(?:(?P<name>[^{}\n]*)\}\})?|\$\$(?!\$*\{\{)|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
)
_SECRET = re.compile(r"secrets\.[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

# what to write for a value at an offset of the text; None: leave what stands there
Writer = Callable[[Value, int], "str | None"]


def references(text: str) -> list[str | None]:
    """The names in `${{ }}`, in order; None for one that is never closed."""
    if "${{" not in text:
        return []
    return [named(match) for match in TOKEN.finditer(text) if match[0].startswith("${{")]


def mentions(text: str, name: str) -> bool:
    """Does `$name` or `${{ name }}` stand in it?"""
    found = [*references(text), *(match["plain"] for match in TOKEN.finditer(text))]
    return any(each is not None and form(each) == form(name) for each in found)


def whole(text: str) -> str | None:
    """The name, where the text is nothing but one."""
    match = TOKEN.fullmatch(text)
    return None if match is None else match["plain"] or named(match)


def split(text: str) -> list[str]:
    """The words of a shell, names left whole. Raises ValueError for a quote that is never closed."""
    found: list[str] = []

    def mark(match: re.Match[str]) -> str:
        found.append(match[0])
        return f"\0{len(found) - 1}\0"  # no text holds a NUL

    words = shlex.split(TOKEN.sub(mark, text))
    return [re.sub("\0([0-9]+)\0", lambda match: found[int(match[1])], word) for word in words]


def as_text(value: Value, _: int = 0) -> str:
    return value if isinstance(value, str) else " ".join(value)


def interpolate(text: str, values: Mapping[str, Value], write: Writer = as_text) -> str:
    """`text` with each name replaced; `values` are by `form`. Raises ConfigurationError: unclosed,
    unknown, or a secret where none may stand."""
    if "$" not in text:
        return text

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "${{"
        if match["plain"] is not None:
            value = values.get(match["plain"])
            written = None if value is None else write(value, match.start())
            return match[0] if written is None else written
        if not match[0].startswith("${{"):
            return match[0]
        name = named(match)
        value = None if name is None else values.get(form(name))
        if value is None:
            raise refusal(name, values) or AssertionError
        written = write(value, match.start())
        return match[0] if written is None else written

    return TOKEN.sub(replacement, text)


def refusal(name: str | None, known: Iterable[str]) -> UsageError | None:
    """Why a reference can't be resolved; None where it can."""
    names = list(known)
    if name is None:
        return ConfigurationError(
            "`${{` is never closed", "write `${{ run.args }}`, or `$${{` for the characters themselves"
        )
    if form(name) in map(form, names):
        return None
    if _SECRET.fullmatch(name):
        return ConfigurationError(
            f"`${{{{ {name} }}}}` can't stand here",
            "secrets may stand in `commands`, `setup`, `env` and `registry_auth`",
        )
    if meant := _meant_secret(name):
        return ConfigurationError(f"`${{{{ {name} }}}}` names nothing that is known", meant)
    exist = "what exists: " + ", ".join(f"`${{{{ {each} }}}}`" for each in sorted(names))
    near = difflib.get_close_matches(form(name.lower()), {form(each): each for each in names}, 1, 0.6)
    spelled = next((each for each in names if near and form(each) == near[0]), None)
    hint = f"did you mean `${{{{ {spelled} }}}}`? {exist}" if spelled else exist
    return ConfigurationError(f"`${{{{ {name} }}}}` names nothing that is known", hint)


def _meant_secret(name: str) -> str:
    """What to write, where the name is nearly that of a secret."""
    space, dot, secret = name.partition(".")
    if not difflib.get_close_matches(space.lower(), ["secrets"], 1, 0.75):
        return ""
    if dot and _SECRET.fullmatch(f"secrets.{secret}"):
        return f"did you mean `${{{{ secrets.{secret} }}}}`?"
    return "name the secret: `${{ secrets.NAME }}`; `dstack secrets list` shows those that there are"


def named(match: re.Match[str]) -> str | None:
    """What stands in `${{ }}`; None where it is never closed."""
    return None if match["name"] is None else str(match["name"]).strip()


def may_be_variable(name: str) -> bool:
    """A name without a dot, which a variables file may define."""
    return _BARE.fullmatch(name) is not None

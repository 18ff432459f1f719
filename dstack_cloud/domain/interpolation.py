"""`${{ name }}` in a workflow's strings. Only that form is strict: `$name`, `$$` and `${name}` belong to the shell.

`$${{ name }}` stands for the text `${{ name }}` itself. What was put in is never read again for more.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from dstack_cloud.errors import ConfigurationError, UsageError

RUN_ARGS = "run.args"
RUN_NAME = "run.name"
KNOWN_NAMES = (RUN_ARGS, RUN_NAME)

TOKEN = re.compile(r"(?P<escaped>\$\$\{\{)|\$\{\{(?:(?P<name>[^{}\n]*)\}\})?")
_SECRET = re.compile(r"secrets\.[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def references(text: str) -> list[str | None]:
    """The names in `${{ }}`, in order; None for one that is never closed."""
    return [named(match) for match in TOKEN.finditer(text) if match["escaped"] is None]


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `${{ name }}` replaced.
    Raises ConfigurationError: unclosed, unknown, or a secret where none may stand."""

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "${{"
        name = named(match)
        error = refusal(name, values)
        if error is not None:
            raise error
        return values[name or ""]

    return TOKEN.sub(replacement, text)


def refusal(name: str | None, known: Iterable[str]) -> UsageError | None:
    """Why a reference can't be resolved; None where it can."""
    names = list(known)
    if name is None:
        return ConfigurationError(
            "`${{` is never closed", "write `${{ run.args }}`, or `$${{` for the characters themselves"
        )
    if name in names:
        return None
    if _SECRET.fullmatch(name):
        return ConfigurationError(
            f"`${{{{ {name} }}}}` can't stand here", "secrets may stand in `commands`, `env` and `registry_auth`"
        )
    exist = "what exists: " + ", ".join(f"`${{{{ {each} }}}}`" for each in sorted(names))
    near = difflib.get_close_matches(name.lower().replace("_", "."), names, 1, 0.6)
    hint = f"did you mean `${{{{ {near[0]} }}}}`? {exist}" if near else exist
    return ConfigurationError(f"`${{{{ {name} }}}}` names nothing that is known", hint)


def named(match: re.Match[str]) -> str | None:
    """What stands in `${{ }}`; None where it is never closed."""
    return None if match["name"] is None else str(match["name"]).strip()


def may_be_variable(name: str) -> bool:
    """A name without a dot, which a variables file may define."""
    return _BARE.fullmatch(name) is not None

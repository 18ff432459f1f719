"""Secrets of a project. Each is an environment variable of every job, and `${{ secrets.NAME }}` in a workflow.

In an `env` value or a registry's login a reference becomes a place (`place`) until the job is handed to its runner, where `fill`
puts the value in: so the database, sealed or not, holds no value but the secret's own row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dstack_cloud.domain.variables import KEPT_FROM_ENVIRONMENT
from dstack_cloud.errors import ConfigurationError, NotFound, UsageError

# Linux takes 128 KiB for one variable (MAX_ARG_STRLEN), its name included
LONGEST_VALUE = 120 * 1024
# where `${{ secrets.NAME }}` may stand, as these fields are spelled
FIELDS = frozenset({"commands", "setup", "env", "environment", "registry_auth"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(rf"secrets\.({_NAME.pattern})")
# no text of a workflow holds a NUL: no program can be given one
_PLACE = re.compile(f"\0({_NAME.pattern})\0")
_TAKEN = KEPT_FROM_ENVIRONMENT | {"GIT_ASKPASS", "GIT_SSH_COMMAND", "JOB_ID", "RUN_NAME"}
_TAKEN_PREFIXES = ("DSTACK_", "LD_")


@dataclass(frozen=True)
class Secret:
    """`sealed` is the value, encrypted; `updated_at` is UTC seconds."""

    project: str
    name: str
    sealed: bytes
    updated_at: float

    @property
    def title(self) -> str:
        return f"the secret {self.name}"

    @property
    def renewal(self) -> str:
        return f"give it its value again with `dstack secrets update {self.name}`"


def name_in(reference: str | None) -> str | None:
    """`TOKEN` of `secrets.TOKEN`; None for what isn't a secret's."""
    match = _REFERENCE.fullmatch(reference or "")
    return None if match is None else match[1]


def check_name(name: str) -> None:
    """Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` can't be the name of a secret, which is an environment variable of jobs",
            "use letters, digits and `_`, and begin with no digit",
        )
    if name in _TAKEN or name.startswith(_TAKEN_PREFIXES):
        raise UsageError(f"`{name}` is a variable that a job has for something else", "choose another name")


def check_value(value: str) -> None:
    """Raises UsageError, without the value."""
    if not value:
        raise UsageError("the secret is empty", "give it a value")
    if "\0" in value:
        raise UsageError("the secret holds a NUL character, and no program can be given one", "encode it, as base64")
    if (size := len(value.encode())) > LONGEST_VALUE:
        raise UsageError(
            f"the secret has {size} bytes, and {LONGEST_VALUE} are the most", "keep it in a file of a store"
        )


def unknown(name: str, known: Collection[str]) -> NotFound:
    """The error for a name that there isn't."""
    near = difflib.get_close_matches(name.upper(), {each.upper(): each for each in known}, 1, 0.6)
    spelled = [each for each in sorted(known) if near and each.upper() == near[0]]
    guess = f"did you mean {spelled[0]}? " if spelled else ""
    there = (
        f"there are: {', '.join(sorted(known))}" if known else f"there are none; `dstack secrets add {name}` makes it"
    )
    return NotFound(f"the project has no secret {name}", guess + there)


def place(name: str) -> str:
    return f"\0{name}\0"


def places(names: Iterable[str]) -> dict[str, str]:
    """What stands for each reference in the strings that `fill` reads."""
    return {f"secrets.{name}": place(name) for name in names}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Raises ConfigurationError for a secret that is no longer there."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise gone([match[1]])
        return values[match[1]]

    return _PLACE.sub(value, text)


def gone(names: Iterable[str]) -> ConfigurationError:
    """For what a job was submitted with, and what was deleted since."""
    each = ", ".join(names)
    return ConfigurationError(f"the secret {each} was deleted", "add it again, then run the workflow again")

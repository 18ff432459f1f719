"""What the words on the command line mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import Overrides

_LONG_ENOUGH = 5  # letters; a shorter option has too many neighbours that mean something else, swapped letters apart


def environment(assignments: Sequence[str], inherited: Mapping[str, str]) -> dict[str, str]:
    """`K=V`, or `K` with the value it has here. Raises UsageError."""
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"-e {assignment}: `{name}` is no name of a variable", "say -e NAME=VALUE")
        if not equals and name not in inherited:
            raise UsageError(f"-e {name}: {name} isn't set here", f"say -e {name}=VALUE, or export it first")
        found[name] = value if equals else inherited[name]
    return found


def wanted_here(names: Sequence[str], inherited: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What a workflow takes from the caller's environment, and the names that aren't set there."""
    return {name: inherited[name] for name in names if name in inherited}, [n for n in names if n not in inherited]


def overrides(backends: Sequence[str] | None, spot: bool | None, max_price: float | None, gpu: str | None) -> Overrides:
    asked: Overrides = {}
    if backends:
        asked["backends"] = list(backends)
    if spot is not None:
        asked["spot_policy"] = "spot" if spot else "on-demand"
    if max_price is not None:
        asked["max_price"] = max_price
    if gpu is not None:
        asked["gpu"] = gpu
    return asked


def refuse_misspelled(words: Sequence[str], known: Sequence[str]) -> None:
    """Raises UsageError for an option that is one slip away from one of dstack's own (`--detatch`): it isn't for the job."""
    for word in words:
        if not word.startswith("--"):
            continue
        name = word[2:].partition("=")[0]
        for option in known:
            slipped = _one_slip(name, option) if len(option) >= _LONG_ENOUGH else _swapped(name, option)
            if slipped and name != option:
                raise UsageError(
                    f"there is no option `--{name}`",
                    f"did you mean `--{option}`? What is meant for the workflow can stand behind `--`",
                )


def _one_slip(word: str, other: str) -> bool:
    """One letter too many, too few, another, or two swapped."""
    if abs(len(word) - len(other)) > 1:
        return False
    a, b = _different_ends(word, other)
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or _swapped(word, other)


def _swapped(word: str, other: str) -> bool:
    """Two neighbouring letters."""
    a, b = _different_ends(word, other)
    return len(a) == len(b) and a[:2] == b[1::-1] and a[2:] == b[2:]


def _different_ends(word: str, other: str) -> tuple[str, str]:
    start = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return word[start:], other[start:]

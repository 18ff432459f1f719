"""The value of an option that typer doesn't know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dstack_cloud.errors import UsageError

# a word that begins so is a value, not an option
_NEGATIVE = re.compile(r"-\.?[0-9]")


def value_of(option: str, following: Sequence[str], *, anything: bool = False) -> str:
    """The word behind `option`, as it is spelled there. Raises UsageError for none, and for an option unless `anything` counts."""
    if not following:
        raise UsageError(f"`{option}` has no value", f"say `{option} VALUE`")
    (word,) = following
    if word.startswith("-") and word != "-" and not anything and not _NEGATIVE.match(word):
        hint = f"say `{option} VALUE`; a value that begins with `-` is written `{option}={word}`"
        raise UsageError(f"`{option}` has no value: `{word}` follows it", hint)
    return word

"""How a workflow names a provider of the user's own: `./providers/mine.py:Mine`."""

from __future__ import annotations

import re
from collections.abc import Iterator

# a file in the working folder, and the class in it
OWN_PATTERN = r"^\./(?!.*(^|/)\.\.(/|$))[^:\n]+\.py:[A-Za-z_][A-Za-z0-9_]*$"

_NAMED = re.compile(r"""\bprovider['"]?[ \t]*:[ \t]*(?:"([^"\n]+)"|'([^'\n]+)'|([^\s,'"}\]]+))""")


def is_own(name: str) -> bool:
    return re.fullmatch(OWN_PATTERN, name) is not None


def split(name: str) -> tuple[str, str]:
    """(path relative to the working folder, class) of such a name."""
    path, _, provider = name.removeprefix("./").rpartition(":")
    return path, provider


def named_in(text: str) -> Iterator[str]:
    """What a workflow file may name as a provider, found without reading YAML: comments count, too."""
    for match in _NAMED.finditer(text):
        yield match[1] or match[2] or match[3]

"""Where a run's source came from, as Git says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WITH_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<login>[^/]*)@)?(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class GitState:
    """`remote` is a URL without credentials, "" where there is none; `branch` "" for a detached head; `commit` "" before the
    first; `dirty`: something of the tree wasn't committed."""

    remote: str
    branch: str
    commit: str
    dirty: bool


def without_credentials(url: str) -> str:
    """A user's name stays where SSH needs it, a password never; over HTTP the name may be a token."""
    match = _WITH_SCHEME.fullmatch(url)
    if match is None:
        return url
    user = (match["login"] or "").partition(":")[0]
    kept = f"{user}@" if user and match["scheme"].lower() in ("ssh", "git+ssh", "ssh+git") else ""
    return f"{match['scheme']}://{kept}{match['rest']}"

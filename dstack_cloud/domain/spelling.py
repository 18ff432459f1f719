"""What to say about a name that there isn't."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """`there is no region 'eu-wset-1' (did you mean eu-west-1?)`, else what there is, as far as that is a line."""
    near = get_close_matches(name.lower(), {each.lower(): each for each in known}, 1, 0.5)
    spelled = next((each for each in sorted(known) if near and each.lower() == near[0]), "")
    some = ", ".join(sorted(known)[:12]) + (" …" if len(known) > 12 else "")
    there = f"did you mean {spelled}?" if spelled else f"there are: {some}" if known else "there is none"
    return f"there is no {kind} {name!r} ({there})"

"""How a cloud's refusals become errors of every backend: a table by the cloud's own codes."""

from __future__ import annotations

from dstack_cloud.errors import BackendError

LONGEST_LINE = 300

# the error's class, what is wrong, and what to do about it ("": nothing)
Entry = tuple[type[BackendError], str, str]


def entries(kind: type[BackendError], what: str, hint: str, *codes: str) -> dict[str, Entry]:
    """All of these codes mean the same."""
    return dict.fromkeys(codes, (kind, what, hint))


def first_line(message: str) -> str:
    """An answer that isn't the cloud's own (an HTML page of a proxy) would fill the screen."""
    line = message.strip().partition("\n")[0]
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"

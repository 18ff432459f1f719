"""The logs of nodes that run together, line by line side by side, with the node's number in front."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dstack_cloud.api.schemas import JobView

# a progress bar ends its lines with a carriage return only
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")


class NodeLines:
    """Holds what of each node's line hasn't come yet."""

    def __init__(self) -> None:
        self._begun: dict[int, bytes] = {}

    def take(self, node: int, data: bytes) -> bytes:
        """The lines that are whole now."""
        text = self._begun.get(node, b"") + data
        lines = _LINE.findall(text)
        self._begun[node] = text[sum(map(len, lines)) :]
        return b"".join(_mark(node) + line for line in lines)

    def rest(self) -> bytes:
        """The last lines where they have no end."""
        begun, self._begun = self._begun, {}
        return b"".join(_mark(node) + text + b"\n" for node, text in sorted(begun.items()) if text)


def _mark(node: int) -> bytes:
    return f"[{node}] ".encode()


def log_name(name: str, jobs: Sequence[JobView]) -> tuple[str, int | None]:
    """(whose log it is, its node's number) of the job of that name; None: it runs alone."""
    job = next((job for job in jobs if job["name"] == name), None)
    if job is None or job["nodes"] == 1:
        return name, None
    return name.removesuffix(f".{job['node']}") if job["node"] else name, job["node"]

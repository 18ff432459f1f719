"""The files that a login is read from: who logs in again writes them anew, and a server that is running is to follow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class LoginFiles:
    """Some may be missing. Whoever shares it holds a lock of its own."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(path.expanduser() for path in paths)
        self._seen = self._stamps()

    def changed(self) -> bool:
        """Whether any is another than when this was asked last, or than at first."""
        before, self._seen = self._seen, self._stamps()
        return self._seen != before

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

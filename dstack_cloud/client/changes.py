"""What has changed in a working folder since a job was given it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dstack_cloud.client.listing import Entry, Listing, scan
from dstack_cloud.client.packing import pack
from dstack_cloud.client.snapshot import measure

# seconds between two looks; a large folder, which takes long to look through, is looked at so many times more seldom
LOOK = 0.15
SELDOM = 10


class Changes(NamedTuple):
    """`written` is new or changed, `removed` is gone, what lay in a folder before it."""

    written: list[Entry]
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)

    def packed(self, folder: Path) -> Iterator[bytes]:
        """As the server takes them. Raises packing.Changed where they go on, and UsageError for a file that can't be read."""
        measured = measure(Listing(folder, self.written, []))
        return pack(folder, measured.entries, self.removed)


class Folder:
    """A working folder that is looked at again and again. `known`: what was there at the last look that counted."""

    def __init__(self, place: Path, state_folder: Path, entries: Iterable[Entry]) -> None:
        """`entries` are those that were sent."""
        self.place = place
        self.pause = LOOK
        self.known = {entry.path: entry for entry in entries}
        self._state_folder = state_folder
        self._seen = self.known

    def look(self) -> Changes:
        """What has changed, once two looks have found the same: what is being written is waited for. `noted` makes it count.
        Raises UsageError for a folder that can't be listed."""
        began = time.monotonic()
        found = {entry.path: entry for entry in scan(self.place, self._state_folder).entries}
        self.pause = max(LOOK, SELDOM * (time.monotonic() - began))
        before, self._seen = self._seen, found
        return _between(self.known, found) if _states(before) == _states(found) else Changes([], [])

    def noted(self) -> None:
        """The last look's changes have been sent."""
        self.known = self._seen


def _between(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> Changes:
    known = _states(before)
    written = [entry for path, entry in after.items() if known.get(path) != _state(entry)]
    return Changes(written, sorted(set(before) - set(after), reverse=True))


def _states(entries: Mapping[str, Entry]) -> dict[str, tuple[object, ...]]:
    return {path: _state(entry) for path, entry in entries.items()}


def _state(entry: Entry) -> tuple[object, ...]:
    """What a look tells, without reading a file."""
    return entry.kind, entry.mode, entry.size, entry.modified_at, entry.detail if entry.kind == "link" else ""

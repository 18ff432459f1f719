"""Streams of the artifacts, each of only what changed since an earlier one that has arrived.

Every stream has a number, and a record on the disk of what each file was like in it. A file counts as unchanged while its size,
times and inode stay; its change time moves with every write, and no program can set it back.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload import pack
from dstack_cloud.runner_bootstrap.payload.pack import Opened, Sink
from dstack_cloud.runner_bootstrap.payload.tree import Entry, Warn

# a file of a running job is whole once it has stopped changing for so long
QUIET_SECONDS = 2.0
# one that was given its name after it was last written to was put there as a whole, as checkpoints should be
RENAMED_SECONDS = 0.2
# up to this size a file is read before its header is sent
SMALL = 2**22
RESTORED = 0
MOST_RECORDS = 6
DIGEST = 12

Record = dict[bytes, bytes]


class Torn(Exception):
    """A large file was written to while it was sent: the stream is worthless."""


class Syncs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # files that were written to while they were sent, and for how long each must have been quiet before it is tried again
        self.restless: dict[str, float] = {}

    def record_restored(self, entries: Iterable[Entry], names: set[str]) -> None:
        """Makes number 0 of what the input `artifacts` brought; the job must not have begun."""
        found = (entry for entry in entries if entry.is_file and entry.name in names)
        self.save(RESTORED, {_key(entry.name): _state(entry.info) for entry in found})

    def stream(self, base: int | None, *, live: bool) -> Stream:
        """The next one. With `base` that number's unchanged files aren't sent; what it makes superfluous is forgotten."""
        numbers = self._numbers()
        record = self._load(base) if base in numbers else {}
        for number in numbers:
            if (base in numbers and number < base) or number in numbers[:-MOST_RECORDS]:
                self._path(number).unlink(missing_ok=True)
        # never the number of an earlier stream, not even after a restart that lost some
        return Stream(self, max([int(time.time() * 1000), *(number + 1 for number in numbers)]), record, live)

    def save(self, number: int, record: Record) -> None:
        """On a full disk it isn't: then a later stream simply has no such base."""
        try:
            self._folder.mkdir(exist_ok=True)
            partial = self._folder / f"{number}.partial"
            partial.write_bytes(b"".join(part for pair in record.items() for part in pair))
            partial.replace(self._path(number))
        except OSError as error:
            print(f"what the artifacts were like can't be kept: {error}", file=sys.stderr)

    def _load(self, number: int | None) -> Record:
        data = (self._folder / str(number)).read_bytes()
        starts = range(0, len(data), 2 * DIGEST)
        return {data[at : at + DIGEST]: data[at + DIGEST : at + 2 * DIGEST] for at in starts}

    def _numbers(self) -> list[int]:
        if not self._folder.exists():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / str(number)


class Stream:
    """`live`: the job runs. Then a file that is being written to is told of as unchanged where the base has it, for what has
    arrived of it is better than nothing, and else left out."""

    def __init__(self, syncs: Syncs, number: int, base: Record, live: bool) -> None:
        self.number = number
        self._syncs = syncs
        self._base = base
        self._live = live
        self._sent: Record = {}

    def write(self, entries: Iterator[Entry], sink: Sink, warn: Warn) -> None:
        """The whole tar; then the next stream may build upon it. Raises Torn."""
        for entry in entries:
            if entry.is_file:
                self._add(entry, sink, warn)
            else:
                sink.write(pack.header(entry, entry.info))
        # before the end is sent: who has the end may ask for what is new since
        self._syncs.save(self.number, self._sent)
        pack.finish(sink)

    def _add(self, entry: Entry, sink: Sink, warn: Warn) -> None:
        key = _key(entry.name)
        if self._base.get(key) == _state(entry.info):
            self._keep(entry, key, sink)
        elif not self._is_quiet(entry, entry.info):
            self._skip(entry, key, sink)
        else:
            with Opened(entry, warn) as file:
                if file.there:
                    self._send(file, key, sink, warn)

    def _send(self, file: Opened, key: bytes, sink: Sink, warn: Warn) -> None:
        if self._live and file.info.st_size > SMALL:
            # what is written through a mapping changes a file's times only where the page had been on the disk before
            os.fsync(file.content.fileno())
            file.info = file.now()
        if not self._is_quiet(file.entry, file.info):
            self._skip(file.entry, key, sink)
        elif file.info.st_size <= SMALL and self._live:
            data = file.content.read(SMALL + 1) or b""
            if self._stayed(file) and len(data) == file.info.st_size:
                pack.write_bytes(file, data, sink)
                self._sent[key] = _state(file.info)
            else:
                self._skip(file.entry, key, sink)
        else:
            began = time.monotonic()
            pack.write_file(file, sink, warn)
            self._check_whole(file, time.monotonic() - began)
            self._sent[key] = _state(file.info)

    def _check_whole(self, file: Opened, seconds: float) -> None:
        """Raises Torn. A file that is replaced as a whole meanwhile stays what it was for who has it open."""
        if not self._live or self._stayed(file):
            return
        name, restless = file.entry.name, self._syncs.restless
        restless[name] = max(2 * restless.get(name, QUIET_SECONDS), 4 * seconds)
        raise Torn(
            f"{name} was written to while it was sent; it is tried again once it is quiet for {restless[name]:.0f} s"
        )

    def _stayed(self, file: Opened) -> bool:
        now = file.now()
        return (now.st_size, now.st_mtime_ns) == (file.info.st_size, file.info.st_mtime_ns)

    def _is_quiet(self, entry: Entry, info: os.stat_result) -> bool:
        if not self._live:
            return True
        # a rename changes the inode's time and leaves the content's as it was; each later write makes them equal again
        renamed = info.st_ctime_ns > info.st_mtime_ns
        wanted = self._syncs.restless.get(entry.name, RENAMED_SECONDS if renamed else QUIET_SECONDS)
        return time.time() - info.st_ctime >= wanted

    def _skip(self, entry: Entry, key: bytes, sink: Sink) -> None:
        if key in self._base:
            self._keep(entry, key, sink)

    def _keep(self, entry: Entry, key: bytes, sink: Sink) -> None:
        pack.write_unchanged(entry, sink)
        self._sent[key] = self._base[key]


def _key(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogateescape"), digest_size=DIGEST).digest()


def _state(info: os.stat_result) -> bytes:
    seen = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    return blake2b(repr(seen).encode(), digest_size=DIGEST).digest()

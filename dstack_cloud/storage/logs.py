"""A job's log as chunks in the store: byte-exact, each byte once, whoever wrote which chunk and wherever a writer died."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from dstack_cloud import errors
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import AttemptPlace, read_log_chunk

# small chunks are joined up to this many bytes
JOINED = 8 * 2**20
# the runner notes at most one time a second, so bytes may have come this many milliseconds after the note before them
_TIME_RESOLUTION = 1_000
# how far a store's clock may be from the machine's, milliseconds
_CLOCK_SKEW = 5_000
# how far back the start of a line is looked for at first, bytes
_LOOK_BACK = 2**16


@dataclass(frozen=True)
class _Chunk:
    """Bytes `first` to `end` of the log; `milliseconds`: when the first of them came; `saved`: when the store got it."""

    key: str
    first: int
    end: int
    milliseconds: int
    saved: float


def _chunks(store: Store, place: AttemptPlace) -> list[_Chunk]:
    """Sorted by first byte, of those that begin alike the longest first."""
    found = []
    for info in store.list(place.logs):
        first, milliseconds = read_log_chunk(info.key)
        found.append(_Chunk(info.key, first, first + info.size, milliseconds, info.modified_at * 1000))
    return sorted(found, key=lambda chunk: (chunk.first, -chunk.end))


def _cover(chunks: list[_Chunk]) -> list[_Chunk]:
    """Those that give the log from byte 0 without a gap; what they overlap is left out."""
    covering: list[_Chunk] = []
    end = 0
    for chunk in chunks:
        if chunk.first > end:
            break
        if chunk.end > end:
            covering.append(chunk)
            end = chunk.end
    return covering


def _end(chunks: list[_Chunk]) -> int:
    covering = _cover(chunks)
    return covering[-1].end if covering else 0


class LogWriter:
    """For one writer at a time; a second one that still writes the same log does no harm."""

    def __init__(self, store: Store, place: AttemptPlace) -> None:
        self._store = store
        self._place = place

    def resume(self) -> int:
        """How many bytes the store has: where to go on."""
        return _end(_chunks(self._store, self._place))

    def append(self, offset: int, data: bytes, milliseconds: int) -> None:
        """`data` is the log from byte `offset`, at or before what `resume` and earlier calls make the end; `milliseconds`
        since the epoch: when it came. The same bytes again change nothing."""
        if data:
            self._store.put(self._place.log_chunk(offset, milliseconds), data)

    def join(self, times: bytes) -> None:
        """Joins the small chunks of a log that is complete. `times`: the runner's "<offset> <ms>" lines.

        A crash at any point leaves a log that reads the same, and `join` can be called again: the times are there before
        the chunks that they replace go, and a joined chunk takes the place of its first part at once.
        """
        if times:
            self._store.put(self._place.log_times, times)
        chunks = _chunks(self._store, self._place)
        kept = {self._join_group(group) for group in _groups(_cover(chunks))}
        self._store.delete(chunk.key for chunk in chunks if chunk.key not in kept)

    def _join_group(self, group: list[_Chunk]) -> str:
        """The key of the one chunk that holds them all."""
        if len(group) == 1:
            return group[0].key
        data = bytearray()
        position = group[0].first
        for chunk in group:
            data += b"".join(self._store.open(chunk.key, start=position - chunk.first))
            position = chunk.end
            del data[position - group[0].first :]
        self._store.put(group[0].key, bytes(data))
        return group[0].key


def _groups(covering: list[_Chunk]) -> list[list[_Chunk]]:
    groups: list[list[_Chunk]] = []
    for chunk in covering:
        if groups and chunk.end - groups[-1][0].first <= JOINED:
            groups[-1].append(chunk)
        else:
            groups.append([chunk])
    return groups


class LogReader:
    def __init__(self, store: Store, place: AttemptPlace) -> None:
        self._store = store
        self._place = place

    def size(self) -> int:
        """Bytes that can be read now."""
        return _end(_chunks(self._store, self._place))

    def read(self, start: int = 0) -> Iterator[bytes]:
        """The log from byte `start` to its present end, also while it grows or its chunks are being joined.

        Raises StoreError where a part in the middle is missing.
        """
        position = start
        while True:
            before = position
            chunks = _chunks(self._store, self._place)
            try:
                for chunk in _cover(chunks):
                    if chunk.end > position:
                        for data in self._store.open(chunk.key, start=position - chunk.first):
                            position += len(data)
                            yield data
            except errors.NotFound:
                # it was joined into another one since the listing
                if position > before or chunks != _chunks(self._store, self._place):
                    continue
                raise
            _refuse_gap(chunks, position)
            return

    def offset_since(self, epoch_seconds: float, live_times: bytes = b"") -> int:
        """Where the line starts that was being written at that time: nothing that came later is before it.

        `live_times`: the runner's "<offset> <ms>" lines so far, for a log that still grows.
        """
        wanted = epoch_seconds * 1000
        offset = self._noted_offset(wanted, live_times)
        if offset is None:
            offset = self._chunk_offset(wanted)
        return self._line_start(offset)

    def _noted_offset(self, wanted: float, live_times: bytes) -> int | None:
        """From the runner's notes; None where there are none."""
        try:
            raw = live_times or self._store.get(self._place.log_times)
        except errors.NotFound:
            return None
        lines = [line.split() for line in raw.splitlines()]
        notes = [(int(line[1]), int(line[0])) for line in lines if len(line) == 2 and all(map(bytes.isdigit, line))]
        if not notes:
            return None
        index = bisect.bisect_right([ms for ms, _ in notes], wanted) - 1
        if index < 0:
            return 0
        milliseconds, offset = notes[index]
        if milliseconds + _TIME_RESOLUTION > wanted:
            return offset
        return notes[index + 1][1] if index + 1 < len(notes) else self.size()

    def _chunk_offset(self, wanted: float) -> int:
        """From the chunks themselves: the last one that began before, unless all of it was saved before."""
        offset = 0
        for chunk in _cover(_chunks(self._store, self._place)):
            if chunk.milliseconds > wanted:
                break
            offset = chunk.end if chunk.saved + _CLOCK_SKEW < wanted else chunk.first
        return offset

    def _line_start(self, offset: int) -> int:
        back = _LOOK_BACK
        while True:
            start = max(0, offset - back)
            before = bytearray()
            for data in self.read(start):
                before += data
                if len(before) >= offset - start:
                    break
            newline = before[: offset - start].rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            if start == 0:
                return 0
            back *= 8


def _refuse_gap(chunks: list[_Chunk], position: int) -> None:
    beyond = [chunk for chunk in chunks if chunk.first > position]
    if beyond:
        raise errors.StoreError(
            f"the log is incomplete: bytes {position} to {beyond[0].first} are missing",
            "they may still be on their way",
        )

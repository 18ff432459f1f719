"""Keeps the values of secrets out of the job's output: each is replaced by `***` before it reaches the log."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = b"***"
# a shorter value would also be found where it isn't meant, in every other line
SHORTEST = 4
# what may be the beginning of a value waits for its end: a few bytes mean little, more than that are hardly anything else
QUIET_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 5.0


def patterns(values: Iterable[str]) -> list[bytes]:
    """What is looked for, the longest first: each value, and each line of one that has several."""
    found = set()
    for value in values:
        for text in (value.strip(), *(line.strip() for line in value.splitlines())):
            if len(encoded := text.encode(errors="surrogateescape")) >= SHORTEST:
                found.add(encoded)
    return sorted(found, key=lambda each: (-len(each), each))


class Masking:
    """A filter of a stream. What may be the beginning of a value is held back; what had to be shown before its value was whole is
    still counted as its beginning, so that the rest is masked."""

    def __init__(self, values: Iterable[str]) -> None:
        self._patterns = patterns(values)
        self._whole = re.compile(b"|".join(re.escape(each) for each in self._patterns) or b"(?!)")
        self._held = b""
        self._shown = 0

    @property
    def patience(self) -> float | None:
        """Seconds of quiet after which `flush` is due; None: nothing is held back."""
        waiting = len(self._held) - self._shown
        if not waiting:
            return None
        return QUIET_SECONDS if len(self._held) < SHORTEST else LONGEST_WAIT_SECONDS

    def take(self, data: bytes) -> bytes:
        """What can be shown now."""
        self._held += data
        found = self._found()
        end = self._settled(found)
        masked = self._masked(found, end)
        self._held, self._shown = self._held[end:], max(self._shown - end, 0)
        return masked

    def flush(self) -> bytes:
        """All that waits; it is remembered in case that more of the value comes."""
        masked = self._masked(self._found(), len(self._held))
        self._shown = len(self._held)
        return masked

    def _found(self) -> list[tuple[int, int]]:
        """Where values stand in what is held, whole."""
        if not any(each in self._held for each in self._patterns):
            return []
        return [match.span() for match in self._whole.finditer(self._held)]

    def _settled(self, found: list[tuple[int, int]]) -> int:
        """Up to where nothing that comes can change what is shown."""
        end = len(self._held) - self._beginning(0)
        for start, stop in found:
            if start < end < stop:
                end = len(self._held) - self._beginning(stop)
        return end

    def _masked(self, found: list[tuple[int, int]], end: int) -> bytes:
        """Up to there, without what was shown. A value of which a part was shown is masked from there on."""
        parts, position = [], self._shown
        for start, stop in found:
            if position < stop <= end:
                parts += [self._held[position:start], MASK]
                position = stop
        parts.append(self._held[position:end])
        return b"".join(parts)

    def _beginning(self, start: int) -> int:
        """The length of the longest end of what is held, from `start` on, that a value begins with."""
        held = self._held[start:]
        return max((_common(held, each) for each in self._patterns), default=0)


def _common(data: bytes, value: bytes) -> int:
    at = data.find(value[:1], max(len(data) - len(value) + 1, 0))
    while at >= 0 and not value.startswith(data[at:]):
        at = data.find(value[:1], at + 1)
    return len(data) - at if at >= 0 else 0

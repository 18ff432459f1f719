"""What was looked up or made once, and needn't be again for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Thing = TypeVar("Thing")


class Memory(Generic[Key, Thing]):
    """Things by key. One that is older than `seconds` (None: none ever is) is looked up anew. Threads share it; for each key one looks
    at a time, so that what is made is made once."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._slots: dict[Key, _Slot[Thing]] = {}

    def get(self, key: Key, look: Callable[[], Thing]) -> Thing:
        """Raises what `look` raises, and remembers nothing then."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        return slot.get(look, self._seconds)

    def forget(self, of: Callable[[Key], bool] = lambda key: True) -> None:
        """It isn't there any more, or its making was broken off: all, or those whose key `of` is true for."""
        with self._lock:
            self._slots = {key: slot for key, slot in self._slots.items() if not of(key)}


class _Slot(Generic[Thing]):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[float, Thing] | None = None

    def get(self, look: Callable[[], Thing], seconds: float | None) -> Thing:
        with self._lock:
            known = self._known
            if known is None or (seconds is not None and time.monotonic() - known[0] > seconds):
                known = self._known = time.monotonic(), look()
            return known[1]

"""Many small questions as few large ones: while one call is under way, what is asked meanwhile is gathered for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class _Batch(Generic[Answer]):
    def __init__(self) -> None:
        self.items: set[str] = set()
        self.over = threading.Event()
        self.answers: Mapping[str, Answer] = {}
        self.error: BaseException | None = None


class Batches(Generic[Answer]):
    """`call` answers for a set of names. An answer is never older than the question: who asks while a call is under way gets
    the next one's."""

    def __init__(self, call: Callable[[Collection[str]], Mapping[str, Answer]]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._under_way = threading.Lock()
        self._next: _Batch[Answer] | None = None

    @property
    def waiting(self) -> int:
        """How many names the next call will have."""
        with self._lock:
            return len(self._next.items) if self._next else 0

    def ask(self, items: Collection[str]) -> Mapping[str, Answer]:
        """The answers, for others' names too. Raises what the call raises."""
        with self._lock:
            first = self._next is None
            batch = self._next = self._next or _Batch()
            batch.items.update(items)
        if first:
            self._run(batch)
        else:
            batch.over.wait()
        if batch.error is not None:
            raise batch.error
        return batch.answers

    def _run(self, batch: _Batch[Answer]) -> None:
        with self._under_way:
            with self._lock:
                self._next = None
            try:
                batch.answers = self._call(batch.items)
            except BaseException as error:  # noqa: BLE001 - everyone who waits must hear of it, whatever it is
                batch.error = error
            finally:
                batch.over.set()

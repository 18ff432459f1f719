"""Many small objects side by side, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

from dstack_cloud import errors
from dstack_cloud.storage.base import Store

# objects up to this many bytes are held in memory; larger ones are streamed, one after the other, in parts side by side
SMALL = 16 * 2**20
# so many bytes of small objects are on their way at once
_IN_FLIGHT = 64 * 2**20


class Uploads(AbstractContextManager["Uploads"]):
    """Work on small objects, `Store.width` at once. Leaving it waits for all. Raises what some work raised, here or at a
    later call.

    Threads that wait for work at a queue take a third of the CPU time of an executor with its futures, and less than an
    event loop (bench/store.py).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._work: queue.SimpleQueue[tuple[Callable[..., None], tuple[object, ...], int] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._room = threading.Condition()
        # the bytes, and the pieces of work, that are waiting or on their way
        self._bytes = self._count = 0
        self._waited_for = False
        self._error: BaseException | None = None

    def put(self, key: str, data: bytes) -> None:
        self.do(self._store.put, key, data, size=len(data))

    def do(self, work: Callable[..., None], *arguments: object, size: int = 0) -> None:
        """Does it soon; `size`: how many bytes it holds in memory."""
        if self._store.width == 1:
            work(*arguments)
            return
        with self._room:
            while (self._bytes + size > _IN_FLIGHT and self._count) or self._count >= 2 * self._store.width:
                self._wait()
            self._raise()
            self._bytes += size
            self._count += 1
        if len(self._threads) < self._store.width:
            self._threads.append(threading.Thread(target=self._serve, name="upload", daemon=True))
            self._threads[-1].start()
        self._work.put((work, arguments, size))

    def finish(self) -> None:
        """All that was given so far is done."""
        with self._room:
            while self._count:
                self._wait()
            self._raise()

    def _wait(self) -> None:
        self._waited_for = True
        self._room.wait()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        while (given := self._work.get()) is not None:
            work, arguments, size = given
            try:
                if self._error is None:
                    work(*arguments)
            except BaseException as error:  # noqa: BLE001
                # whatever it is, whoever gave the work is told
                self._error = error
            with self._room:
                self._bytes -= size
                self._count -= 1
                # waking for every single one would cost more than the work
                if self._waited_for and (self._count <= self._store.width or self._bytes <= _IN_FLIGHT // 2):
                    self._waited_for = False
                    self._room.notify()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
            else:
                self._error = self._error or error
        finally:
            for _ in self._threads:
                self._work.put(None)
            for thread in self._threads:
                thread.join()


def downloads(store: Store, objects: Iterable[tuple[str, int]]) -> Iterator[bytes | None]:
    """The objects, given as key and size in bytes; whole and in this order, the next ones fetched ahead. None: missing."""
    if store.width == 1:
        yield from (_got(store, key) for key, _ in objects)
        return
    with ThreadPoolExecutor(store.width, thread_name_prefix="download") as pool:
        ahead: deque[tuple[Future[bytes | None], int]] = deque()
        held = 0
        try:
            for key, size in objects:
                while ahead and (held + size > _IN_FLIGHT or len(ahead) >= 2 * store.width):
                    future, freed = ahead.popleft()
                    yield future.result()
                    held -= freed
                ahead.append((pool.submit(_got, store, key), size))
                held += size
            while ahead:
                yield ahead.popleft()[0].result()
        finally:
            # the reader may have left
            for future, _ in ahead:
                future.cancel()


def _got(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except errors.NotFound:
        return None

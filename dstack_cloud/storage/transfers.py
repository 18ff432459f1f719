"""Many small objects side by side, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from types import TracebackType

from dstack_cloud.storage.base import Store

# objects up to this many bytes are held in memory, `Store.width` of them at a time; larger ones are streamed
SMALL = 4 * 2**20


class Uploads(AbstractContextManager["Uploads"]):
    """Leaving it waits for all. Raises what a put raised, here or at a later call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(store.width, thread_name_prefix="upload") if store.width > 1 else None
        self._waiting: set[Future[None]] = set()

    def put(self, key: str, data: bytes) -> None:
        if self._pool is None:
            self._store.put(key, data)
            return
        if len(self._waiting) >= 2 * self._store.width:
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            _raise_first(done)
        self._waiting.add(self._pool.submit(self._store.put, key, data))

    def finish(self) -> None:
        """What was put so far is in the store."""
        done, self._waiting = wait(self._waiting)
        _raise_first(done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        with self._pool:
            if error is None:
                self.finish()


def downloads(store: Store, keys: Iterable[str]) -> Iterator[bytes]:
    """The objects, whole and in the order of `keys`, the next ones fetched ahead."""
    if store.width == 1:
        yield from map(store.get, keys)
        return
    with ThreadPoolExecutor(store.width, thread_name_prefix="download") as pool:
        ahead: deque[Future[bytes]] = deque()
        for key in keys:
            ahead.append(pool.submit(store.get, key))
            if len(ahead) > store.width:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _raise_first(done: Iterable[Future[None]]) -> None:
    for future in done:
        future.result()

"""A store in memory whose writes, or reads, of some keys fail as long as the test says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dstack_cloud import errors
from dstack_cloud.storage.store import ObjectStore, open_store


class FailingStore(ObjectStore):
    """`broken` holds parts of keys; whatever touches such a key raises StoreError; `kept` those whose removal does. `puts` lists the keys written."""

    def __init__(self) -> None:
        super().__init__(open_store("memory://")._connection, width=1)
        self.broken: set[str] = set()
        self.kept: set[str] = set()
        self.puts: list[str] = []

    def _check(self, key: str) -> None:
        if any(part in key for part in self.broken):
            raise errors.StoreError(f"no answer for {key}", "wait")

    def put(self, key: str, chunks: bytes | Iterable[bytes], *, size: int = 0) -> None:
        self._check(key)
        self.puts.append(key)
        super().put(key, chunks, size=size)

    def create(self, key: str, data: bytes) -> bool:
        self._check(key)
        return super().create(key, data)

    def delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        if any(part in key for key in wanted for part in self.kept):
            raise errors.StoreError("no answer", "wait")
        super().delete(wanted)

    def get(self, key: str) -> bytes:
        self._check(key)
        return super().get(key)

    def open(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        self._check(key)
        return super().open(key, start=start)

"""A real store that breaks off before its n-th change, as when the process is killed there."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_cloud.storage.store import ObjectStore


class Killed(BaseException):
    pass


class DyingStore(ObjectStore):
    """Shares the objects of `store`; `lives` changes go through. A delete of many may stop after any of them."""

    def __init__(self, store: ObjectStore, lives: int) -> None:
        super().__init__(store._connection, width=1)
        self.lives = lives

    def _change(self) -> None:
        if self.lives == 0:
            raise Killed
        self.lives -= 1

    def put(self, key: str, chunks: bytes | Iterable[bytes], *, size: int = 0) -> None:
        self._change()
        super().put(key, chunks, size=size)

    def create(self, key: str, data: bytes) -> bool:
        self._change()
        return super().create(key, data)

    def copy(self, source: str, target: str) -> None:
        self._change()
        super().copy(source, target)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._change()
            super().delete([key])

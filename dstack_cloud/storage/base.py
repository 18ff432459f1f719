"""The interface of an object store, and what every reader may rely on: an object is whole or it isn't there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """`size` is bytes, `modified_at` UTC seconds by the store's clock."""

    key: str
    size: int
    modified_at: float


class Store(Protocol):
    """`width`: how many small transfers side by side are fastest; 1 for a local disk."""

    width: int

    def put(self, key: str, chunks: bytes | Iterable[bytes], *, size: int = 0) -> None:
        """Writes or replaces; `size`: how many bytes will come, where that is known: it is only ever a hint. Nothing is visible until all chunks are in (an exception from `chunks` leaves nothing)."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Writes only if there is no such object; False where there is one."""
        ...

    def get(self, key: str) -> bytes:
        """Raises errors.NotFound."""
        ...

    def open(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        """The object in chunks, from byte `start`. Raises errors.NotFound before the first chunk."""
        ...

    def exists(self, key: str) -> bool: ...

    def copy(self, source: str, target: str) -> None:
        """Within the store, without moving bytes through here where it can. Raises errors.NotFound."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below `prefix` (which ends in "/"), sorted by key."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Missing ones are no error."""
        ...

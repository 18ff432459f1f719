"""Snapshots of working folders, stored once a content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zstandard import ZstdError

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.packing import unpacked
from dstack_cloud.storage.tarstream import BrokenTar, TarStream


def code_exists(store: Store, sha256: str) -> bool:
    return store.exists(layout.code(sha256))


def save_code(store: Store, sha256: str, chunks: Iterable[bytes]) -> None:
    """`chunks` are a tar stream packed with zstandard. Whole or not at all: UsageError where it breaks off or is something
    else; StoreError."""
    try:
        store.put(layout.code(sha256), _whole(chunks))
    except (BrokenTar, ZstdError) as error:
        raise errors.UsageError(
            f"the upload of the working folder is broken: {error}", "run the command again"
        ) from error


def read_code(store: Store, sha256: str) -> Iterator[bytes]:
    """The plain tar stream. Raises NotFound before the first chunk, StoreDamaged on the way."""
    return _unpacked(store.open(layout.code(sha256)))


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from unpacked(chunks)
    except ZstdError as error:
        raise errors.StoreDamaged(
            f"the snapshot of the working folder is damaged: {error}", "run the workflow again"
        ) from error


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks, unpacked on the side to see that they are whole."""
    passed: list[bytes] = []

    def taken() -> Iterator[bytes]:
        for chunk in chunks:
            passed.append(chunk)
            yield chunk

    stream = TarStream(unpacked(taken()))
    for _ in stream:
        yield from passed
        passed.clear()
        for _ in stream.content():
            yield from passed
            passed.clear()
    yield from passed

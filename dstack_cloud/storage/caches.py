"""Caches: one packed object a cache path of a workflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zstandard import ZstdError

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.base import ObjectInfo, Store
from dstack_cloud.storage.packing import packed, unpacked
from dstack_cloud.storage.tarstream import BrokenTar, whole_tar


@dataclass(frozen=True)
class CacheEntry:
    """All cache paths of one workflow. `size` is bytes as packed, `modified_at` the newest, by the store's clock."""

    workflow: str
    size: int
    modified_at: float
    keys: tuple[str, ...]


def save_cache(store: Store, workflow: str, path: str, tar_chunks: Iterable[bytes]) -> None:
    """Replaces it, whole or not at all. Raises RunnerError where the stream breaks off; StoreError."""
    try:
        store.put(layout.cache(workflow, path), packed(whole_tar(tar_chunks)))
    except BrokenTar as error:
        raise errors.RunnerError(
            f"the stream of the cache {path!r} is broken: {error}", "it is asked for again"
        ) from error


def restore_cache(store: Store, workflow: str, path: str) -> Iterator[bytes] | None:
    """A plain tar stream; None where there is nothing yet. The stream raises StoreDamaged."""
    try:
        chunks = store.open(layout.cache(workflow, path))
    except errors.NotFound:
        return None
    return _unpacked(path, chunks)


def _unpacked(path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from whole_tar(unpacked(chunks))
    except (ZstdError, BrokenTar) as error:
        raise errors.StoreDamaged(
            f"the cache {path!r} is damaged: {error}", "dstack prune cache removes it; the next run makes it anew"
        ) from error


def list_caches(store: Store, workflow: str = "") -> list[CacheEntry]:
    """One entry a workflow, sorted by name."""
    return _entries(_objects(store, workflow))


def prune(store: Store, workflow: str = "", older_than: float | None = None) -> list[CacheEntry]:
    """Removes them and says what that freed. `older_than`: only what was saved before that time, in seconds since the
    epoch by the store's clock."""
    objects = [info for info in _objects(store, workflow) if older_than is None or info.modified_at < older_than]
    store.delete(info.key for info in objects)
    return _entries(objects)


def _objects(store: Store, workflow: str) -> list[ObjectInfo]:
    return list(store.list(layout.cache_prefix(workflow)))


def _entries(objects: list[ObjectInfo]) -> list[CacheEntry]:
    by_workflow: dict[str, list[ObjectInfo]] = {}
    for info in objects:
        by_workflow.setdefault(layout.read_cache(info.key), []).append(info)
    return [
        CacheEntry(name, sum(i.size for i in infos), max(i.modified_at for i in infos), tuple(i.key for i in infos))
        for name, infos in sorted(by_workflow.items())
    ]

"""What setups made, for other machines than the one that made it: one packed object a key, among the caches of its workflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zstandard import ZstdError

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.packing import packed, unpacked
from dstack_cloud.storage.tarstream import BrokenTar, whole_tar

# so many of a workflow stay: of the versions that are changed to and fro, and of several kinds of machines
_KEPT = 3


def save_setup(store: Store, workflow: str, key: str, tar_chunks: Iterable[bytes]) -> None:
    """Whole or not at all; the oldest ones of the workflow go. Raises RunnerError where the stream breaks off or has what can't
    be kept; StoreError."""
    try:
        store.put(layout.setup(workflow, key), packed(whole_tar(tar_chunks)))
    except BrokenTar as error:
        raise errors.RunnerError(f"the stream of the setup is broken: {error}", "it is built again") from error
    found = [info for info in store.list(layout.cache_prefix(workflow)) if layout.is_setup(info.key)]
    newest = sorted(found, key=lambda info: info.modified_at, reverse=True)
    store.delete(info.key for info in newest[_KEPT:] if info.key != layout.setup(workflow, key))


def open_setup(store: Store, workflow: str, key: str) -> Iterator[bytes] | None:
    """As it lies there, a tar in zstandard with its checksum; None where there is none."""
    try:
        return store.open(layout.setup(workflow, key))
    except errors.NotFound:
        return None


def restore_setup(store: Store, workflow: str, key: str) -> Iterator[bytes] | None:
    """A plain tar stream; None where there is none. One that is damaged raises StoreDamaged on the way, and goes."""
    try:
        chunks = store.open(layout.setup(workflow, key))
    except errors.NotFound:
        return None
    return _unpacked(store, layout.setup(workflow, key), chunks)


def find_setup(store: Store, workflow: str, beginning: str) -> int | None:
    """The size, as it is packed, of the newest one whose key begins so; None where there is none."""
    found = [
        info
        for info in store.list(layout.cache_prefix(workflow))
        if layout.is_setup(info.key) and layout.read_setup(info.key).startswith(beginning)
    ]
    return max(found, key=lambda info: info.modified_at).size if found else None


def _unpacked(store: Store, key: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from whole_tar(unpacked(chunks))
    except (ZstdError, BrokenTar) as error:
        store.delete([key])
        raise errors.StoreDamaged(f"what is kept of the setup is damaged: {error}", "it is built again") from error

"""Whether a store can be used, before anything depends on it."""

from __future__ import annotations

import secrets

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.base import Store


def check_writing(store: Store) -> None:
    """Whether it takes objects and removes them. Raises StoreError."""
    key = layout.check(secrets.token_hex(8))
    store.put(key, b"")
    store.delete([key])


def check_store(store: Store) -> None:
    """Writes, reads, lists and removes a small object. Raises StoreError: one sentence that says which of them failed.

    Open the store with little patience (`open_store(…, patience=5)`) where somebody waits for the answer.
    """
    key, data = layout.check(secrets.token_hex(8)), secrets.token_bytes(16)
    if not store.create(key, data):
        # the name is new: what answers isn't an object store
        raise errors.StoreError("the object store says that an object is there which isn't", "look at its endpoint")
    try:
        found = store.get(key)
    except errors.NotFound as error:
        raise errors.StoreError("the object store took an object and hasn't got it", "look at its endpoint") from error
    if found != data or key not in [info.key for info in store.list(layout.CHECKS)]:
        raise errors.StoreError("the object store doesn't give back what it took", "look at its endpoint")
    store.delete([key])
    if store.exists(key):
        raise errors.StoreError("the object store doesn't remove what it is told to", "look at the bucket's rules")

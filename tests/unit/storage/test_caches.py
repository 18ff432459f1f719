from __future__ import annotations

import time

import pytest

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.caches import list_caches, prune, restore_cache, save_cache
from tests.unit.storage.tars import pack, pieces

TAR = pack(("wheels", None), ("wheels/a.whl", bytes(100_000)), ("x", "-> wheels"))


def restored(store, workflow: str, path: str) -> bytes | None:
    chunks = restore_cache(store, workflow, path)
    return None if chunks is None else b"".join(chunks)


def test_gives_back_what_was_saved_last(store):
    assert restored(store, "train", "~/.cache/pip") is None
    save_cache(store, "train", "~/.cache/pip", pieces(pack(("old", b"1"))))
    save_cache(store, "train", "~/.cache/pip", pieces(TAR))
    assert restored(store, "train", "~/.cache/pip") == TAR
    assert restored(store, "train", ".cache") is None
    assert restored(store, "other", "~/.cache/pip") is None


@pytest.mark.parametrize("length", [0, 512, 1024, len(TAR) // 2])
def test_a_stream_that_breaks_off_keeps_the_old_one(store, length):
    save_cache(store, "train", "c", pieces(TAR))
    with pytest.raises(errors.RunnerError, match="'c'"):
        save_cache(store, "train", "c", pieces(TAR[:length]))
    assert restored(store, "train", "c") == TAR


def test_a_source_that_fails_keeps_the_old_one(store):
    def failing():
        yield TAR[:5000]
        raise ConnectionResetError

    save_cache(store, "train", "c", pieces(TAR))
    with pytest.raises(ConnectionResetError):
        save_cache(store, "train", "c", failing())
    assert restored(store, "train", "c") == TAR


def test_damage_is_noticed(store):
    save_cache(store, "train", "c", pieces(TAR))
    key = layout.cache("train", "c")
    raw = bytearray(store.get(key))
    raw[len(raw) // 2] ^= 0xFF
    store.put(key, bytes(raw))
    with pytest.raises(errors.StoreError, match="damaged"):
        restored(store, "train", "c")


def test_lists_by_workflow_and_prunes(store):
    for workflow, path in (("train", "a"), ("train", "b"), ("my workflow", "a"), ("-x", "a")):
        save_cache(store, workflow, path, pieces(TAR))
    listed = list_caches(store)
    assert [(entry.workflow, len(entry.keys)) for entry in listed] == [("-x", 1), ("my workflow", 1), ("train", 2)]
    assert list_caches(store, "train") == [listed[2]]
    assert 0 < listed[2].size < len(TAR)
    assert prune(store, "train") == [listed[2]]
    assert prune(store, "train") == []
    assert list_caches(store) == listed[:2]
    assert prune(store) == listed[:2]
    assert list(store.list("")) == []


def test_prunes_only_what_is_old(store):
    save_cache(store, "train", "a", pieces(TAR))
    assert prune(store, older_than=time.time() - 3600) == []
    assert len(prune(store, older_than=time.time() + 3600)) == 1

from __future__ import annotations

import pytest

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.caches import list_caches, prune, restore_cache, save_cache
from dstack_cloud.storage.packing import unpacked
from dstack_cloud.storage.setups import find_setup, open_setup, restore_setup, save_setup
from tests.unit.storage.tars import pack, pieces

TAR = pack(("usr/tool", bytes(100_000)), ("x", "-> usr"))


def restored(store, workflow: str, key: str) -> bytes | None:
    chunks = restore_setup(store, workflow, key)
    return None if chunks is None else b"".join(chunks)


def test_gives_back_what_was_saved(store):
    assert restored(store, "train", "k1") is None
    save_setup(store, "train", "k1", pieces(TAR))
    assert restored(store, "train", "k1") == TAR
    assert restored(store, "other", "k1") is None


def test_as_it_lies_there_and_which_there_are(store):
    save_setup(store, "train", "k1", pieces(TAR))
    packed = b"".join(open_setup(store, "train", "k1"))
    assert b"".join(unpacked([packed])) == TAR
    assert open_setup(store, "train", "k2") is None
    assert find_setup(store, "train", "k") == len(packed)
    assert find_setup(store, "train", "l") is find_setup(store, "other", "k") is None


@pytest.mark.parametrize("length", [0, 512, len(TAR) // 2])
def test_half_of_one_is_not_kept(store, length):
    with pytest.raises(errors.RunnerError, match="setup"):
        save_setup(store, "train", "k1", pieces(TAR[:length]))
    assert restored(store, "train", "k1") is None


def test_a_damaged_one_goes(store):
    save_setup(store, "train", "k1", pieces(TAR))
    key = layout.setup("train", "k1")
    raw = bytearray(store.get(key))
    raw[len(raw) // 2] ^= 0xFF
    store.put(key, bytes(raw))
    with pytest.raises(errors.StoreDamaged):
        restored(store, "train", "k1")
    assert restored(store, "train", "k1") is None


def test_the_newest_stay_and_caches_are_left_alone(store):
    save_cache(store, "train", "c", pieces(TAR))
    for number in range(5):
        save_setup(store, "train", f"k{number}", pieces(TAR))
    there = [number for number in range(5) if restored(store, "train", f"k{number}")]
    assert len(there) == 3 and 4 in there
    assert restore_cache(store, "train", "c") is not None
    assert [entry.workflow for entry in list_caches(store)] == ["train"]
    prune(store, "train")
    assert restored(store, "train", "k4") is None

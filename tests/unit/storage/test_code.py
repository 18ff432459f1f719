from __future__ import annotations

import pytest
import zstandard

from dstack_cloud import errors
from dstack_cloud.storage import layout
from dstack_cloud.storage.code import code_exists, read_code, save_code
from tests.unit.storage.tars import pack, pieces

SHA = "ab" * 32
TAR = pack(("train.py", b"print(1)\n" * 5000), ("empty", None), ("link", "-> train.py"))
PACKED = zstandard.compress(TAR)


def test_a_snapshot_is_stored_as_sent_and_read_plain(store):
    assert not code_exists(store, SHA)
    save_code(store, SHA, pieces(PACKED, 100))
    assert code_exists(store, SHA)
    assert store.get(layout.code(SHA)) == PACKED
    assert b"".join(read_code(store, SHA)) == TAR


def test_several_frames_are_one_snapshot(store):
    frames = zstandard.compress(TAR[:1000]) + zstandard.compress(TAR[1000:])
    save_code(store, SHA, pieces(frames, 100))
    assert b"".join(read_code(store, SHA)) == TAR


@pytest.mark.parametrize(
    "data", [b"", PACKED[:-9], PACKED[:50], PACKED + b"more", TAR, zstandard.compress(b"text" * 500)]
)
def test_a_broken_upload_leaves_nothing(store, data):
    with pytest.raises(errors.UsageError, match="upload of the working folder is broken"):
        save_code(store, SHA, pieces(data, 100))
    assert list(store.list("")) == []


def test_a_missing_snapshot_is_known_before_the_first_chunk(store):
    with pytest.raises(errors.NotFound):
        read_code(store, SHA)


def test_what_unpacks_to_very_much_comes_in_small_pieces(store):
    save_code(store, SHA, [zstandard.compress(pack(("zeros", bytes(50_000_000))), 19)])
    assert max(map(len, read_code(store, SHA))) <= 2**20

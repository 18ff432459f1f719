from __future__ import annotations

import hashlib
import threading

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.storage.artifacts import archive, load_manifest, publish, save_artifacts
from dstack_cloud.storage.layout import AttemptPlace, JobPlace
from dstack_cloud.storage.store import ObjectStore, open_store
from dstack_cloud.storage.transfers import SMALL
from tests.unit.storage.faults import DyingStore, Killed
from tests.unit.storage.tars import pack, pieces, unpack

PLACE = AttemptPlace("shady-1", "train", 1)
JOB = JobPlace("shady-1", "train")
MEMBERS = [
    ("out", None),
    ("out/model.bin", b"\0" * 100_000),
    ("out/empty", b""),
    ("out/ü 100%#1", b"odd"),
    ("out/latest", "-> model.bin"),
    ("out/bytes \udcff", b"not utf-8"),
    ("~/notes/" + "n" * 255, b"home"),
]


@pytest.fixture(params=["plain", "side by side"])
def store(store, request) -> ObjectStore:
    if request.param == "side by side":
        store.width = 8
    return store


def save(store, *members, attempt=1) -> Manifest:
    return save_artifacts(store, AttemptPlace("shady-1", "train", attempt), pieces(pack(*members)))


def test_files_become_objects_that_can_be_browsed(store):
    manifest = save(store, *MEMBERS)
    assert store.get("runs/shady-1/train/attempts/1/artifacts/out/model.bin") == b"\0" * 100_000
    entries = {entry.path: entry for entry in manifest.entries}
    assert list(entries) == sorted(name for name, _ in MEMBERS)
    model = entries["out/model.bin"]
    assert (model.size, model.sha256) == (100_000, hashlib.sha256(b"\0" * 100_000).hexdigest())
    assert (model.mode, model.modified_at, model.kind) == (0o640, 1_700_000_000, "file")
    assert (entries["out"].kind, entries["out"].mode) == ("dir", 0o750)
    assert (entries["out/latest"].kind, entries["out/latest"].target) == ("link", "model.bin")
    assert (manifest.files, manifest.size) == (5, 100_000 + 3 + 9 + 4)


def test_an_archive_gives_everything_back(store, tmp_path):
    publish(store, JOB, save(store, *MEMBERS))
    manifest = load_manifest(store, JOB)
    assert unpack(archive(store, manifest), tmp_path / "x") == dict(MEMBERS)
    assert (tmp_path / "x/out/model.bin").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "x/out/model.bin").stat().st_mtime == 1_700_000_000


def test_an_archive_of_a_part(store, tmp_path):
    manifest = save(store, ("a", None), ("a/x", b"1"), ("ab", b"2"), ("a b", b"3"))
    assert set(unpack(archive(store, manifest, prefix="a/"), tmp_path)) == {"a", "a/x"}
    assert unpack(archive(store, manifest, prefix="ab"), tmp_path) == {"ab": b"2"}
    assert unpack(archive(store, manifest, prefix="c"), tmp_path) == {}


def test_what_nodes_saved_is_put_over_each_other(store, tmp_path):
    lower = save(store, ("out", None), ("out/model", b"of 1"), ("out/shard-1", b"1"), attempt=1)
    upper = save(store, ("out", None), ("out/model", b"of 0"), ("out/shard-0", b"0"), attempt=2)
    both = {"out": None, "out/model": b"of 0", "out/shard-0": b"0", "out/shard-1": b"1"}
    assert unpack(archive(store, lower, upper), tmp_path) == both


def test_big_files_are_streamed(store, tmp_path):
    data = bytes(range(256)) * (SMALL // 256) + b"and more"
    manifest = save(store, ("a", b"1"), ("big", data), ("z", b"2"))
    assert unpack(archive(store, manifest), tmp_path) == {"a": b"1", "big": data, "z": b"2"}


def test_hard_links_become_files(store, tmp_path):
    manifest = save(store, ("a", b"same"), ("d/b", "= a"))
    assert unpack(archive(store, manifest), tmp_path) == {"a": b"same", "d/b": b"same"}


def test_the_same_path_twice_means_the_later(store, tmp_path):
    assert unpack(archive(store, save(store, ("./a", b"1"), ("a", b"2"))), tmp_path) == {"a": b"2"}


def test_the_later_counts_also_where_the_earlier_is_slow_to_be_stored(tmp_path):
    later = threading.Event()

    class Slow(ObjectStore):
        """The earlier is still on its way when the later is there."""

        def put(self, key, chunks, *, size=0):
            if chunks == b"1":
                later.wait(0.2)
            super().put(key, chunks, size=size)
            if chunks == b"2":
                later.set()

    store = Slow(open_store("memory://")._connection, width=4)
    assert unpack(archive(store, save(store, ("a", b"1"), ("./a", b"2"))), tmp_path) == {"a": b"2"}


def test_no_artifacts_at_all(store):
    manifest = save(store)
    assert publish(store, JOB, manifest) == 1
    assert load_manifest(store, JOB) == manifest
    assert len(b"".join(archive(store, manifest))) == 1024


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", ".."])
def test_paths_that_leave_the_folder_are_refused(store, name):
    with pytest.raises(errors.RunnerError, match="leads out"):
        save(store, ("ok", b"1"), (name, b"2"))


@pytest.mark.parametrize("above", [b"", "-> /etc"], ids=["file", "link"])
def test_nothing_may_lie_below_a_file_or_link(above):
    with pytest.raises(errors.RunnerError, match="below 'd/a'"):
        save(open_store("memory://"), ("d/a", above), ("d/a/e/passwd", b"2"))


@pytest.mark.parametrize("length", [0, 512, 600, 3000, 3072, 3584])
def test_a_stream_that_breaks_off_publishes_nothing(store, length):
    data = pack(("a", b"1" * 600), ("b", b"2" * 600))
    with pytest.raises(errors.RunnerError, match="broken"):
        save_artifacts(store, PLACE, pieces(data[:length]))
    assert load_manifest(store, JOB) is None


def test_the_highest_manifest_counts_and_the_same_again_is_none(store):
    first, second = save(store, ("a", b"1")), save(store, ("a", b"1"), ("b", b"2"), attempt=2)
    assert load_manifest(store, JOB) is None
    assert [publish(store, JOB, first), publish(store, JOB, first), publish(store, JOB, second)] == [1, 1, 2]
    assert load_manifest(store, JOB) == second


def test_an_attempt_that_was_given_up_can_not_come_back(store):
    late = save(store, ("a", b"late"))
    publish(store, JOB, save(store, ("a", b"new"), attempt=2))
    with pytest.raises(errors.Conflict):
        publish(store, JOB, late)
    assert load_manifest(store, JOB).attempt == 2


def test_two_that_publish_at_once_both_count(store):
    class Overtaken(DyingStore):
        """Another server publishes between its look and its write."""

        def create(self, key, data):
            if self.lives == 2:
                publish(store, JOB, save(store, ("a", b"theirs")))
            return super().create(key, data)

    assert publish(Overtaken(store, 2), JOB, save(store, ("a", b"1"), attempt=2)) == 2
    assert load_manifest(store, JOB).attempt == 2


@pytest.mark.parametrize("change", [b"same size!"[:4], b"longer than before", b"", None])
def test_an_object_that_was_changed_is_noticed(store, change):
    for content in (b"1234", b"1234" * (SMALL // 4) + b"5"):
        manifest = save(store, ("a", content), ("b", b"after"))
        key = PLACE.artifact("a")
        store.delete([key]) if change is None else store.put(key, change)
        with pytest.raises(errors.StoreError, match="'a'"):
            list(archive(store, manifest))


def test_a_crash_while_saving_and_once_more(store, tmp_path):
    with pytest.raises(Killed):
        save(DyingStore(store, 2), *MEMBERS)
    assert load_manifest(store, JOB) is None
    publish(store, JOB, save(store, *MEMBERS))
    assert unpack(archive(store, load_manifest(store, JOB)), tmp_path) == dict(MEMBERS)


def test_a_store_that_fails_is_heard():
    class Full(ObjectStore):
        def put(self, key, chunks):
            raise errors.StoreError("no space left")

    store = Full(open_store("memory://")._connection, width=4)
    with pytest.raises(errors.StoreError, match="no space"):
        save(store, *[(f"f{n}", b"1") for n in range(50)])

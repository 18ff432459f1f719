"""Saves while a job runs: the newest manifest can be restored whatever breaks off, and little is left behind."""

from __future__ import annotations

import io
import tarfile

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.storage.artifacts import archive, load_manifest, publish, save_artifacts, settle, withdraw
from dstack_cloud.storage.layout import AttemptPlace, JobPlace
from dstack_cloud.storage.store import open_store
from tests.unit.storage.faults import DyingStore, Killed
from tests.unit.storage.tars import pieces, unpack

JOB = JobPlace("shady-1", "train")
UNCHANGED = object()


@pytest.fixture
def store():
    return open_store("memory://")


def tar(files: dict[str, object]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as stream:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is UNCHANGED:
                info.pax_headers = {"DSTACK.unchanged": "1"}
                content = b""
            info.size = len(content)
            stream.addfile(info, io.BytesIO(content))
    return out.getvalue()


def save(store, files, base=None, attempt=1, complete=False) -> Manifest:
    place = AttemptPlace("shady-1", "train", attempt)
    return save_artifacts(store, place, pieces(tar(files)), base, complete=complete)


def saved(store, files, base=None, attempt=1, complete=False) -> Manifest:
    manifest = save(store, files, base, attempt, complete)
    publish(store, JOB, manifest)
    return manifest


def content(store, tmp_path, manifest=None) -> dict[str, object]:
    return unpack(archive(store, manifest or load_manifest(store, JOB)), tmp_path / "x")


def keys(store) -> list[str]:
    return [info.key.removeprefix("runs/shady-1/train/") for info in store.list("runs/")]


def test_unchanged_files_are_taken_from_the_save_before(store, tmp_path):
    first = saved(store, {"a": b"1", "b": b"2"})
    second = saved(store, {"a": UNCHANGED, "b": b"3"}, first)
    assert second.entries[0] == first.entries[0]
    assert not load_manifest(store, JOB).complete
    assert content(store, tmp_path) == {"a": b"1", "b": b"3"}
    # who still reads the one before isn't disturbed
    assert content(store, tmp_path, first) == {"a": b"1", "b": b"2"}


def test_unchanged_without_a_base_is_refused(store):
    for base in (None, saved(store, {"b": b"1"})):
        with pytest.raises(errors.RunnerError, match="unchanged"):
            save(store, {"a": UNCHANGED}, base)


def test_a_later_attempt_takes_over_the_objects_of_an_earlier_one(store, tmp_path):
    first = saved(store, {"a": b"1", "b": b"2"}, complete=True)
    saved(store, {"a": UNCHANGED, "b": b"3"}, first, attempt=2, complete=True)
    assert content(store, tmp_path) == {"a": b"1", "b": b"3"}
    assert [entry.attempt for entry in load_manifest(store, JOB).entries] == [1, 2]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("lives", range(6))
def test_a_save_that_breaks_off_anywhere_leaves_what_was_saved(store, tmp_path, lives, complete):
    base = saved(store, {"a": b"1", "b": b"2"})
    base = saved(store, {"a": b"3", "b": UNCHANGED}, base)
    files = {"a": b"4", "b": b"5", "c": b"6"}
    try:
        saved(DyingStore(store, lives), files, base, complete=complete)
    except Killed:
        pass
    assert content(store, tmp_path) in ({"a": b"3", "b": b"2"}, files)
    # and the next one goes on from there
    saved(store, {"a": b"7", "b": UNCHANGED}, load_manifest(store, JOB), complete=complete)
    assert content(store, tmp_path)["a"] == b"7"


def test_many_saves_leave_few_objects(store, tmp_path):
    base = None
    for number in range(50):
        base = saved(store, {"a": b"%d" % number, "b": b"same" if base is None else UNCHANGED}, base)
    assert content(store, tmp_path) == {"a": b"49", "b": b"same"}
    assert len(keys(store)) == 5
    assert [key for key in keys(store) if key.startswith("manifests/")] == [
        "manifests/000049.json",
        "manifests/000050.json",
    ]


def test_a_save_that_comes_late_does_not_replace_the_last_one(store):
    late = save(store, {"a": b"1"})
    saved(store, {"a": b"2"}, complete=True)
    with pytest.raises(errors.Conflict):
        publish(store, JOB, late)
    assert load_manifest(store, JOB).complete


def test_in_the_end_all_files_can_be_browsed_in_one_place(store, tmp_path):
    first = saved(store, {"old": b"1", "a": b"1"}, complete=True)
    second = saved(store, {"old": UNCHANGED, "a": b"2", "b": b"1"}, first, attempt=2)
    saved(store, {"old": UNCHANGED, "a": UNCHANGED, "b": b"2"}, second, attempt=2, complete=True)
    save(store, {"z": b"never published"}, attempt=2)
    for _ in range(2):
        settle(store, JOB)
        in_attempt = "attempts/2/artifacts/"
        assert keys(store) == [f"{in_attempt}a", f"{in_attempt}b", f"{in_attempt}old", "manifests/000004.json"]
        assert content(store, tmp_path) == {"old": b"1", "a": b"2", "b": b"2"}
    assert load_manifest(store, JOB).complete


@pytest.mark.parametrize("lives", range(12))
def test_settling_may_break_off_anywhere(store, tmp_path, lives):
    base = saved(store, {"a": b"1", "b": b"1"})
    saved(store, {"a": UNCHANGED, "b": b"2"}, base, complete=True)
    try:
        settle(DyingStore(store, lives), JOB)
    except Killed:
        pass
    assert content(store, tmp_path) == {"a": b"1", "b": b"2"}
    settle(store, JOB)
    assert keys(store) == ["attempts/1/artifacts/a", "attempts/1/artifacts/b", "manifests/000003.json"]


def test_a_reader_goes_on_while_objects_move(store, tmp_path):
    base = saved(store, {"a": b"1", "b": b"2"})
    manifest = saved(store, {"a": UNCHANGED, "b": UNCHANGED}, base, complete=True)
    chunks = archive(store, manifest)
    settle(store, JOB)
    assert unpack(chunks, tmp_path) == {"a": b"1", "b": b"2"}


def test_a_reader_of_what_is_no_more_is_told(store):
    old = saved(store, {"a": b"1"})
    for number in range(3):
        saved(store, {"a": b"new %d" % number})
    with pytest.raises(errors.StoreError, match="'a'") as caught:
        list(archive(store, old))
    assert caught.value.retryable


def test_of_an_aborted_job_only_what_an_attempt_left_stays(store, tmp_path):
    base = saved(store, {"a": b"1", "b": b"1"}, complete=True)
    saved(store, {"a": b"2", "b": UNCHANGED}, base, attempt=2)
    for _ in range(2):
        withdraw(store, JOB)
        assert content(store, tmp_path) == {"a": b"1", "b": b"1"}
        assert len(keys(store)) == 3


def test_of_an_aborted_job_without_any_nothing_stays(store):
    saved(store, {"a": b"1"})
    store.put(AttemptPlace("shady-1", "train", 1).log_chunk(0, 0), b"log")
    withdraw(store, JOB)
    assert load_manifest(store, JOB) is None
    assert [key.split("/")[2] for key in keys(store)] == ["logs"]

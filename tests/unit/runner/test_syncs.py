"""Artifacts are sent while the job runs, and then only what changed."""

from __future__ import annotations

import http.client
import io
import os
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload.pack import Sink
from dstack_cloud.runner_bootstrap.payload.syncs import Stream, Syncs, Torn
from dstack_cloud.runner_bootstrap.payload.tree import Entry, walk
from tests.unit.runner.rig import Rig, tar_of, until

BUSY = "echo ready; until [ -e go ]; do sleep 0.05; done"
SENT, KEPT = "sent", "kept"


class Stage:
    """A runner with a job whose artifacts the test writes itself."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.base: int | None = None

    def start(self, *commands: str, **fields: object) -> Stage:
        self.rig.submit(*commands, BUSY, artifacts=["out", "~/x"], **fields)
        self.rig.wait_log(b"ready")
        return self

    @property
    def out(self) -> Path:
        return self.rig.folder / "work" / "out"

    def seen(self, base: int | None = None) -> dict[str, str]:
        """The files of the next stream: sent with their content, or kept as they arrived before."""
        query = "" if base is None else f"?base={base}"
        response, data = self.rig.get(f"/v1/outputs/artifacts{query}")
        assert response.status == 200, data
        self.base = int(response.headers["X-Sync"])
        return files_in(data)

    def until_seen(self, name: str) -> dict[str, str]:
        """Streams until it is among the files."""
        found: dict[str, str] = {}

        def looks() -> bool:
            found.update(self.seen())
            return name in found

        until(looks, name)
        return found

    def end(self) -> None:
        (self.rig.folder / "work" / "go").touch()
        self.rig.wait("uploading")


def files_in(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [member for member in archive.getmembers() if member.isreg()]
    assert all(member.size == 0 for member in members if "DSTACK.unchanged" in member.pax_headers)
    return {member.name: KEPT if member.pax_headers.get("DSTACK.unchanged") == "1" else SENT for member in members}


@pytest.fixture
def stage(runner: Rig) -> Stage:
    return Stage(runner)


def test_only_what_changed_is_sent_again(stage: Stage) -> None:
    stage.start("mkdir out; echo 1 > out/a; echo 2 > out/b; echo 3 > ~/x")
    assert stage.until_seen("~/x") == {"out/a": SENT, "out/b": SENT, "~/x": SENT}
    first = stage.base
    (stage.out / "b").write_text("22")
    (stage.out / "new").write_text("4")
    (stage.out / "a").rename(stage.out / "c")
    stage.end()
    assert stage.seen(first) == {"out/b": SENT, "out/c": SENT, "out/new": SENT, "~/x": KEPT}
    assert stage.seen(stage.base) == {"out/b": KEPT, "out/c": KEPT, "out/new": KEPT, "~/x": KEPT}


def test_a_base_that_nobody_knows_means_everything(stage: Stage) -> None:
    stage.start("mkdir out; echo 1 > out/a")
    stage.until_seen("out/a")
    assert stage.seen(0) == stage.seen(12345) == {"out/a": SENT}


def test_what_has_not_been_quiet_is_left_out_or_kept_as_it_was(stage: Stage) -> None:
    stage.start("mkdir out; echo 1 > out/a")
    assert stage.until_seen("out/a") == {"out/a": SENT}
    first = stage.base
    (stage.out / "a").write_text("half of it")
    (stage.out / "b").write_text("half of it")
    assert stage.seen(first) == {"out/a": KEPT}
    second = stage.base
    until(lambda: "out/b" in stage.seen(second), "its second second of rest")
    assert stage.seen(second) == {"out/a": SENT, "out/b": SENT}


def test_what_is_put_in_place_as_a_whole_need_not_rest(tmp_path: Path) -> None:
    """It was given its name after it was last written to; the other one may still grow."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "partial").write_text("whole")
    # another clock tick than the writing's
    until(lambda: time.time() > (tmp_path / "partial").stat().st_mtime + 0.02, "a tick")
    (tmp_path / "partial").rename(folder / "checkpoint")
    (folder / "growing").write_text("half of it")
    syncs, sink = Syncs(tmp_path / "syncs"), io.BytesIO()
    until(lambda: quiet(syncs, folder), "the checkpoint")
    sent(syncs.stream(None, live=True), folder, sink)
    assert files_in(sink.getvalue()) == {"checkpoint": SENT}


def test_times_that_a_program_set_back_hide_nothing(stage: Stage) -> None:
    stage.start("mkdir out; echo 1 > out/a")
    stage.until_seen("out/a")
    before = (stage.out / "a").stat()
    (stage.out / "a").write_text("2\n")
    os.utime(stage.out / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    stage.end()
    assert stage.seen(stage.base) == {"out/a": SENT}


def test_restored_files_are_number_zero(stage: Stage) -> None:
    stage.rig.submit("echo more >> out/b", BUSY, artifacts=["out", "~/x"], inputs=["artifacts"])
    stage.rig.link.put_input("artifacts", [tar_of({"out/a": b"1", "out/b": b"2", "~/x": b"3"})])
    stage.rig.wait_log(b"ready")
    assert stage.seen(0) == {"out/a": KEPT, "out/b": KEPT, "~/x": KEPT}
    stage.end()
    assert stage.seen(0) == {"out/a": KEPT, "out/b": SENT, "~/x": KEPT}


def test_numbers_survive_a_restart_of_the_runner(stage: Stage) -> None:
    stage.start("mkdir out; echo 1 > out/a")
    stage.until_seen("out/a")
    first = stage.base
    assert first is not None
    stage.rig.crash()
    stage.rig.start()
    assert stage.seen(first) == {"out/a": KEPT}
    assert stage.base is not None and stage.base > first


def test_what_is_missing_meanwhile_is_no_warning(stage: Stage) -> None:
    stage.start()
    assert stage.seen() == {}
    assert stage.rig.link.state().warnings == ()
    stage.end()
    assert len(stage.rig.link.state().warnings) == 2


def test_a_large_file_that_is_written_to_meanwhile_spoils_the_stream_once(stage: Stage) -> None:
    stage.start("mkdir out; head -c 60000000 /dev/zero > out/big; echo 1 > out/small")
    stage.until_seen("out/big")
    stage.rig.link.close()
    connection = http.client.HTTPConnection("runner")
    connection.sock = stage.rig.dial()
    connection.request("GET", "/v1/outputs/artifacts")
    response = connection.getresponse()
    response.read(100_000)
    with (stage.out / "big").open("r+b") as big:
        big.write(b"changed")
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    assert stage.seen() == {"out/small": SENT}


class Writer:
    """Changes a file as soon as some of it has been sent."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0

    def write(self, data: bytes, /) -> int:
        if self.size <= 2**20 < self.size + len(data):
            self.path.write_bytes(b"anew")
        self.size += len(data)
        return len(data)


def entries(folder: Path) -> Iterable[Entry]:
    return (entry for entry in walk(str(folder), print) if entry.name)


def sent(stream: Stream, folder: Path, sink: Sink) -> None:
    stream.write(iter(entries(folder)), sink, print)


def test_a_torn_file_waits_longer_each_time(tmp_path: Path) -> None:
    big = tmp_path / "data" / "big"
    big.parent.mkdir()
    big.write_bytes(bytes(2**23))
    syncs = Syncs(tmp_path / "syncs")
    until(lambda: quiet(syncs, big.parent), "its second second of rest")
    with pytest.raises(Torn, match="big was written to"):
        sent(syncs.stream(None, live=True), big.parent, Writer(big))
    assert syncs.restless["big"] >= 4
    sent(syncs.stream(None, live=False), big.parent, io.BytesIO())


def quiet(syncs: Syncs, folder: Path) -> bool:
    sink = io.BytesIO()
    sent(syncs.stream(None, live=True), folder, sink)
    return bool(files_in(sink.getvalue()))


def test_superfluous_records_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    syncs = Syncs(tmp_path / "syncs")
    numbers = []
    for _ in range(4):
        stream = syncs.stream(None, live=True)
        sent(stream, tmp_path / "data", io.BytesIO())
        numbers.append(stream.number)
    assert numbers == sorted(set(numbers))
    sent(syncs.stream(numbers[2], live=True), tmp_path / "data", io.BytesIO())
    left = [int(path.name) for path in (tmp_path / "syncs").iterdir()]
    assert min(left) == numbers[2]


def test_a_full_disk_costs_the_record_only(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("1")
    (tmp_path / "syncs").write_text("in the way")
    syncs = Syncs(tmp_path / "syncs" / "below")
    sink = io.BytesIO()
    sent(syncs.stream(None, live=False), tmp_path / "data", sink)
    assert files_in(sink.getvalue()) == {"a": SENT}

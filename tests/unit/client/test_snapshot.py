from __future__ import annotations

import io
import multiprocessing
import os
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from dstack_cloud.client import snapshot
from dstack_cloud.client.listing import Listing, scan
from dstack_cloud.client.packing import Changed, pack
from dstack_cloud.errors import UsageError


class Shelf:
    """A store of snapshots in memory. `meanwhile` is called while an upload runs."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.packed: dict[str, bytes] = {}
        self.meanwhile = meanwhile
        self.uploads = 0

    def has_code(self, sha256: str) -> bool:
        return sha256 in self.packed

    def put_code(self, sha256: str, packed: Iterator[bytes]) -> None:
        self.uploads += 1
        self.meanwhile()
        self.packed[sha256] = b"".join(packed)


def approve(listing: Listing) -> None:
    pass


def take(folder: Path, shelf: Shelf | None = None) -> snapshot.Snapshot:
    return snapshot.store(shelf or Shelf(), folder, state_folder=folder / ".state", approve=approve)


def unpack(packed: bytes) -> dict[str, tarfile.TarInfo]:
    data = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def project(folder: Path) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text("print(1)\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("src/train.py")
    (folder / "dangling").symlink_to("/nowhere/at/all")
    return folder


def test_a_snapshot_is_an_exact_copy(tmp_path: Path) -> None:
    shelf = Shelf()
    taken = take(project(tmp_path / "p"), shelf)
    members = unpack(shelf.packed[taken.sha256])
    assert sorted(members) == ["dangling", "empty", "link", "run.sh", "src", "src/train.py"]
    assert members["empty"].isdir()
    assert (members["link"].linkname, members["dangling"].linkname) == ("src/train.py", "/nowhere/at/all")
    assert (members["run.sh"].mode, members["src/train.py"].size) == (0o755, 9)
    assert taken.view == {"sha256": taken.sha256, "size": 19, "files": 4}


def test_names_that_are_hard_on_archives(tmp_path: Path) -> None:
    names = {"a b", "ünï", "new\nline", "x" * 200, "deep/" * 60 + "end", os.fsdecode(b"not-utf8-\xff")}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name[:3])
    shelf = Shelf()
    taken = take(tmp_path, shelf)
    assert names <= set(unpack(shelf.packed[taken.sha256]))


def test_the_same_content_has_the_same_name_and_is_sent_once(tmp_path: Path) -> None:
    shelf = Shelf()
    first, second = take(project(tmp_path / "a"), shelf), take(project(tmp_path / "b"), shelf)
    assert (first.sha256, shelf.uploads) == (second.sha256, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p / "run.sh").write_text("#!/bin/sh\nx"),
        lambda p: (p / "run.sh").chmod(0o644),
        lambda p: (p / "run.sh").rename(p / "go.sh"),
        lambda p: (p / "empty").rmdir(),
        lambda p: ((p / "link").unlink(), (p / "link").symlink_to("run.sh")),
    ],
)
def test_any_change_gives_another_name(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = project(tmp_path / "p")
    before = take(folder).sha256
    change(folder)
    assert take(folder).sha256 != before


def test_the_state_folder_and_sockets_are_left_out_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()
    (tmp_path / ".state" / "db").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
        taken = take(tmp_path)
    assert taken.entries == []
    assert len(taken.warnings) == 3
    assert any(".state/" in warning for warning in taken.warnings)


def test_a_file_that_changes_once_is_copied_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1")
    changes = iter([lambda: (tmp_path / "log").write_text("2")])
    shelf = Shelf(lambda: next(changes, lambda: 0)())
    taken = take(tmp_path, shelf)
    assert shelf.uploads == 2
    assert unpack(shelf.packed[taken.sha256])["log"].size == 1


@pytest.mark.parametrize(
    "grow", [lambda p: p.write_text(p.read_text() + "x"), lambda p: p.write_text(str(os.urandom(1)[0] + 1000))]
)
def test_a_file_that_keeps_changing_is_named(tmp_path: Path, grow: Callable[[Path], object]) -> None:
    busy = tmp_path / "busy.log"
    busy.write_text("1000")
    shelf = Shelf(lambda: grow(busy))
    with pytest.raises(UsageError, match=r"busy\.log changes") as raised:
        take(tmp_path, shelf)
    assert ".gitignore" in str(raised.value.hint)
    assert shelf.packed == {}


def test_a_file_that_becomes_a_link_while_it_is_copied_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    listing = snapshot.measure(scan(tmp_path, tmp_path / "none"))
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/hostname")
    with pytest.raises(Changed, match="a"):
        b"".join(pack(tmp_path, listing.entries))


def _as_nobody(folder: str, answers: multiprocessing.SimpleQueue[str]) -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        take(Path(folder))
    except UsageError as error:
        answers.put(f"{error.summary} | {error.hint}")
    else:
        answers.put("it was read")


@pytest.mark.parametrize("name", ["secret", "closed/"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    place = tempfile.gettempdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(place) and not folder.samefile(place):
            folder.chmod(0o755)
    (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("x")
    (tmp_path / name).chmod(0)
    forked = multiprocessing.get_context("fork")
    answers = forked.SimpleQueue()
    process = forked.Process(target=_as_nobody, args=(str(tmp_path), answers))
    process.start()
    assert answers.get().startswith(
        f"can't read {name}: permission denied | make it readable, or name it in .gitignore"
    )
    process.join()


def test_a_large_folder_is_asked_about_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    with (tmp_path / "data" / "deep" / "big.bin").open("wb") as file:
        file.truncate(3 << 30)  # a hole: no byte is written
    (tmp_path / "small").write_text("x")

    def refuse(listing: Listing) -> None:
        assert listing.largest() == [("data/deep/big.bin", 3 << 30), ("small", 1)]
        raise UsageError("too large")

    with pytest.raises(UsageError, match="too large"):
        snapshot.store(Shelf(), tmp_path, state_folder=tmp_path / ".state", approve=refuse)


def test_a_folder_of_many_files_is_listed_by_folder(tmp_path: Path) -> None:
    for name in ("images/a/1", "images/a/2", "images/b/3", "notes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x" * 100)
    assert scan(tmp_path, tmp_path / "none").largest(1) == [("images/", 300)]


@pytest.mark.parametrize("place", ["home", ".", "/"])
def test_the_home_folder_and_what_holds_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "home" / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match="isn't copied") as raised:
        snapshot.check_folder(tmp_path / place)
    assert "--force" in str(raised.value.hint)
    snapshot.check_folder(tmp_path / "home" / "project")


def test_saved_paths_may_not_leave_through_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "real").mkdir(parents=True)
    (folder / "inside").symlink_to("real")
    (folder / "outside").symlink_to("..")
    snapshot.check_paths(folder, ["inside/x", "new/x", "~/.cache", "."])
    with pytest.raises(UsageError, match="outside/x leads out"):
        snapshot.check_paths(folder, ["outside/x"])


@pytest.mark.parametrize(
    ("path", "said", "hint"),
    [
        ("src/tain.py", "has nothing of that name", "did you mean `src/train.py`?"),
        ("zzz", "has nothing of that name", "make it"),
        ("data/x", "isn't sent", "an ignore file"),
    ],
)
def test_what_a_workflow_needs_is_looked_for_before_anything_is_sent(
    tmp_path: Path, path: str, said: str, hint: str
) -> None:
    for name, text in {"src/train.py": "", "data/x": "", ".gitignore": "data\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "linked").symlink_to("elsewhere")
    found = scan(tmp_path, tmp_path / ".state")
    snapshot.check_there(found, {"it": ["src", "src/train.py", "linked/x"], "other": []})
    with pytest.raises(UsageError, match=f"`it` needs {path}.*{said}") as raised:
        snapshot.check_there(found, {"it": ["src", path]})
    assert hint in str(raised.value.hint)


@pytest.mark.parametrize("path", ["in.txt", "./in.txt", "sub", "sub/"])
def test_a_digest_is_of_what_is_there(tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("in.txt", "sub/x"):
        (tmp_path / name).write_text("one")
    before = take(tmp_path).digests([path])
    (tmp_path / "other").write_text("")
    assert take(tmp_path).digests([path]) == before
    (tmp_path / "in.txt").write_text("two")
    (tmp_path / "sub/x").write_text("two")
    assert take(tmp_path).digests([path]) != before


@pytest.mark.parametrize(
    ("path", "hint"),
    [("in.tx", "did you mean `in.txt`?"), ("*.txt", "stand for themselves"), ("zzz", "name a file or folder")],
)
def test_an_included_path_that_is_nothing_is_refused(tmp_path: Path, path: str, hint: str) -> None:
    (tmp_path / "in.txt").write_text("one")
    with pytest.raises(UsageError, match="nothing in the working folder is called that") as caught:
        take(tmp_path).digests([path])
    assert path in caught.value.summary
    assert caught.value.hint and hint in caught.value.hint


@pytest.mark.parametrize(
    ("path", "counts"),
    [(".dstack/w.yaml", False), (".dstack/workflows/w.yml", False), (".dstack/data/w.yaml", True), ("w.yaml", True)],
)
def test_of_the_whole_folder_only_workflow_files_do_not_count(tmp_path: Path, path: str, counts: bool) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("one")
    before = take(tmp_path).digests(["."])
    (tmp_path / path).write_text("two")
    assert (take(tmp_path).digests(["."]) != before) is counts

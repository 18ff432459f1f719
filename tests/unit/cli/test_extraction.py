from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.cli.extraction import extract
from dstack_cloud.errors import ServerError, UsageError

Member = tuple[str, bytes, bytes | str]  # name, type, content or target


def tar(*members: Member) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o750
            if isinstance(content, str):
                info.linkname = content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


FILE, DIR, LINK, HARD, FIFO = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


def test_files_folders_and_links(tmp_path: Path) -> None:
    data = tar(
        ("a", DIR, b""), ("a/b", FILE, b"x" * 5000), ("a/empty", DIR, b""), ("l", LINK, "a/b"), ("~/c", FILE, b"c")
    )
    result = extract(pieces(data), tmp_path / "new" / "out")
    out = tmp_path / "new" / "out"
    assert (result.files, result.size, result.warnings) == (2, 5001, [])
    assert (out / "a" / "b").read_bytes() == (out / "l").read_bytes() == b"x" * 5000
    assert (out / "a" / "b").stat().st_mode & 0o777 == 0o750
    assert (out / "a" / "empty").is_dir()
    assert (out / "home" / "c").read_bytes() == b"c"


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", FILE, b"x")],
        [("a/../../evil", FILE, b"x")],
        [("/evil", FILE, b"x")],
        [("l", LINK, ".."), ("l/evil", FILE, b"x")],
        [("l", LINK, "/"), ("l/evil", FILE, b"x")],
        [("a", DIR, b""), ("a/l", LINK, "../.."), ("a/l/evil", FILE, b"x")],
        [("evil", HARD, "../secret")],
        [("evil", FIFO, b"")],
        [("l", LINK, "m"), ("m", LINK, "../.."), ("l/evil", FILE, b"x")],
    ],
)
def test_nothing_is_written_outside(tmp_path: Path, members: list[Member]) -> None:
    out = tmp_path / "out"
    (tmp_path / "secret").write_text("before")
    try:
        assert extract(pieces(tar(*members)), out).warnings
    except UsageError:
        pass  # a name below a link that was left dangling
    assert {path.name for path in tmp_path.iterdir()} == {"out", "secret"}
    assert (tmp_path / "secret").read_text() == "before"


def test_a_link_that_lies_there_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("before")
    (tmp_path / "out" / "a").symlink_to(tmp_path / "precious")
    extract(pieces(tar(("a", FILE, b"new"))), tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "before"
    assert (tmp_path / "out" / "a").read_text() == "new"


def test_a_folder_that_lies_there_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "d").symlink_to(tmp_path / "elsewhere")
    assert extract(pieces(tar(("d/a", FILE, b"x"))), tmp_path / "out").warnings
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_stream_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="broke off"):
        extract(pieces(tar(("a", FILE, b"x" * 5000))[:3000]), tmp_path / "out")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't write"):
        extract(pieces(tar(("a", FILE, b"x"))), tmp_path / "file")


def test_no_folder_is_made_for_a_run_that_is_not_there(tmp_path: Path) -> None:
    def refused() -> Iterator[bytes]:
        if not (tmp_path / "out").exists():
            raise UsageError("no such run")
        yield b""

    with pytest.raises(UsageError, match="no such run"):
        extract(refused(), tmp_path / "out")
    assert not (tmp_path / "out").exists()

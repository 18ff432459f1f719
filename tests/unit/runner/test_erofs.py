"""A tar that is mounted shows what it would have if it had been unpacked."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import erofs
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive
from tests.unit.runner.rig import tar_of

DELETED = "deleted"
NUMBERS = range(3000)


def tar_with(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    """(name, content, fields of its TarInfo)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def mounted(data: bytes, base: Path) -> Iterator[Path]:
    """Skips where this user or kernel can't mount."""
    place = base / "place"
    place.mkdir()
    erofs.make(io.BytesIO(data), base / "file", DELETED)
    try:
        erofs.mount(base / "file", place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENODEV, errno.ENOTBLK):
            raise
        pytest.skip("only root mounts, and only Linux from 6.12 on mounts a file without a loop device")
    try:
        yield place
    finally:
        erofs.unmount(place)


def test_files_folders_and_links(tmp_path: Path) -> None:
    data = tar_with(
        ("opt", b"", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 5, "gid": 70_000}),
        ("opt/tool", b"#!/bin/sh\n" * 1000, {"mode": 0o4755, "mtime": 1_700_000_001}),
        ("opt/same", b"", {"type": tarfile.LNKTYPE, "linkname": "opt/tool"}),
        ("opt/link", b"", {"type": tarfile.SYMTYPE, "linkname": "tool"}),
        ("./opt/empty", b"", {}),
        ("x" * 200 + "/" + "ü" * 120, b"deep", {}),
    )
    with mounted(data, tmp_path) as place:
        tool = (place / "opt/tool").stat()
        assert (place / "opt/tool").read_bytes() == (place / "opt/link").read_bytes() == b"#!/bin/sh\n" * 1000
        assert (stat.S_IMODE(tool.st_mode), tool.st_mtime, tool.st_nlink) == (0o4755, 1_700_000_001, 2)
        assert (place / "opt/same").stat().st_ino == tool.st_ino and (place / "opt/link").readlink() == Path("tool")
        folder = (place / "opt").stat()
        assert (stat.S_IMODE(folder.st_mode), folder.st_uid, folder.st_gid) == (0o750, 5, 70_000)
        assert (place / "opt/empty").read_bytes() == b""
        assert (place / ("x" * 200) / ("ü" * 120)).read_bytes() == b"deep"


def test_a_folder_of_many_names(tmp_path: Path) -> None:
    """More than a block holds: each is found by its name, and all are listed once."""
    names = [f"{number}-{'n' * (number % 250)}" for number in NUMBERS]
    with mounted(tar_of({f"many/{name}": name.encode() for name in names}), tmp_path) as place:
        assert sorted(os.listdir(place / "many")) == sorted(names)
        assert all((place / "many" / name).read_bytes() == name.encode() for name in names)
        assert not (place / "many" / "none").exists()


def test_what_was_removed_is_hidden(tmp_path: Path) -> None:
    """As overlayfs wants it; what is below something hidden, or was never there, does no harm."""
    removed = b"etc/gone\nopt\netc/made\nnowhere/x\n"
    data = tar_with(
        (DELETED, removed, {}),
        ("etc", b"", {"type": tarfile.DIRTYPE}),
        ("etc/made", b"new", {}),
        ("opt/inside", b"", {}),
    )
    with mounted(data, tmp_path) as place:
        gone = (place / "etc/gone").lstat()
        assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
        assert os.getxattr(place / "opt", "trusted.overlay.opaque") == b"y"
        assert os.listxattr(place / "etc") == [] and (place / "etc/made").read_bytes() == b"new"
        assert (place / "opt/inside").exists() and not (place / "nowhere").exists()
        assert not (place / DELETED).exists()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tar_of({"a": b"x" * 5000})[:3000], id="cut off"),
        pytest.param(b"x" * 2000, id="no tar"),
        pytest.param(tar_of({"../a": b""}), id="leads out"),
        pytest.param(tar_with(("a", b"", {}), ("a/b", b"", {})), id="through a file"),
        pytest.param(tar_with(("a", b"", {"type": tarfile.LNKTYPE, "linkname": "b"})), id="link to nothing"),
        pytest.param(tar_with((DELETED, b"../a\n", {})), id="removes what is outside"),
        pytest.param(tar_with(("a", b"", {"type": b"M"})), id="of another kind"),
    ],
)
def test_what_cannot_be_one_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadArchive):
        erofs.make(io.BytesIO(data), tmp_path / "file", DELETED)


def test_the_newest_file_is_told(tmp_path: Path) -> None:
    data = tar_with(("old", b"1", {"mtime": 5}), ("new", b"22", {"mtime": 9}), ("mid", b"333", {"mtime": 7}))
    tree = erofs.make(io.BytesIO(data), tmp_path / "file", DELETED)
    assert (tree.newest, tree.removed) == (("new", 2), None)


def test_many_folders_and_files_of_several_blocks(tmp_path: Path) -> None:
    files = {f"{a}/{b}/{c}": f"{a}{b}{c}" * (a * 300) for a in range(9) for b in range(9) for c in range(9)}
    with mounted(tar_of({name: text.encode() for name, text in files.items()}), tmp_path) as place:
        assert {str(path.relative_to(place)): path.read_text() for path in place.rglob("*/*/*")} == files

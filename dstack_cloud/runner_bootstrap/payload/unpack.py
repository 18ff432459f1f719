"""Unpacks a tar stream below a folder, and never beside it."""

# Plain strings for paths: a Path for each of a hundred thousand files doubles the time.
# ruff: noqa: PTH101, PTH102, PTH108, PTH112, PTH113, PTH114, PTH116, PTH118, PTH120, PTH211

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO, Protocol, cast

BLOCK = 512
READ_SIZE = 2**18


class BadArchive(ValueError):
    """The stream isn't a whole tar, or has a member that leads out of the folder."""


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Forward:
    """A stream with as much of a file's manners as tarfile asks for, and the memory of how it ended: a whole tar ends in
    zeros. (tarfile's own way with streams copies its buffer at every small read.)"""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self._tail = b""

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._position += len(data)
        self._tail = (self._tail + data)[-BLOCK:] if len(data) < BLOCK else data[-BLOCK:]
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise BadArchive("the tar stream would have to be read backwards")
        while self._position < position and self.read(min(READ_SIZE, position - self._position)):
            pass

    def drain(self) -> None:
        """Raises BadArchive where what came isn't a whole tar."""
        while self.read(READ_SIZE):
            pass
        if self._tail.strip(b"\0") or len(self._tail) < BLOCK:
            raise BadArchive("the tar stream ended early")


def unpack(source: Source, target: Target) -> None:
    """Adds the tar's members to the target, modes and times of files kept, owners not. Raises BadArchive, OSError."""
    stream = _Forward(source)
    try:
        file = cast(BinaryIO, stream)
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                target.add(archive, member)
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep every one of a hundred thousand
    except BadArchive:
        raise
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BadArchive(f"not a tar stream: {error}") from error
    stream.drain()
    target.set_folder_modes()


class Target:
    """A folder; nothing may come to lie beside it, and no folder of it is replaced."""

    def __init__(self, folder: Path) -> None:
        self._tops = {str(folder)}
        # folders known to be real ones: nobody else writes here before the job starts
        self._real = set(self._tops)
        self._modes: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self.path(member.name)
        if member.isdir():
            self._enter(path, member.name)
            self._modes[path] = member.mode & 0o777
            return
        if path in self._tops:
            raise BadArchive(f"{member.name!r} stands for the folder itself")
        self._enter(os.path.dirname(path), member.name)
        if os.path.lexists(path):
            self.make_room(path, member.name)
        if member.isreg():
            self._write(archive, member, path)
        elif member.issym():
            os.symlink(member.linkname, path)
        elif member.islnk():
            self._link(member, path)
        else:
            raise BadArchive(f"{member.name!r} is neither a file, a folder nor a link")

    def set_folder_modes(self) -> None:
        """Last, so that a folder that can't be written may have contents; the innermost first."""
        for path in sorted(self._modes, key=len, reverse=True):
            os.chmod(path, self._modes[path])

    def path(self, name: str) -> str:
        """Where a member lies. Raises BadArchive."""
        (top,) = self._tops
        return os.path.join(top, *parts_of(name))

    def make_room(self, path: str, name: str) -> None:
        """For a file or link, where there is something already. Raises BadArchive, OSError."""
        try:
            os.unlink(path)
        except (IsADirectoryError, PermissionError) as error:
            raise BadArchive(f"{name!r} would replace a folder") from error

    def make_way(self, path: str, name: str) -> None:
        """For a folder, where there is something else already. Raises BadArchive, OSError."""
        raise BadArchive(f"{name!r} leads through a link or a file")

    def _enter(self, path: str, name: str) -> None:
        """Makes the folder and those above it; refuses to go through a symlink."""
        if path in self._real:
            return
        self._enter(os.path.dirname(path), name)
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            if os.path.islink(path) or not os.path.isdir(path):
                self.make_way(path, name)
                os.mkdir(path, 0o755)
            os.chmod(path, os.stat(path).st_mode | 0o700)
        self._real.add(path)

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        content = archive.extractfile(member)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            if content is not None and member.size:
                shutil.copyfileobj(content, file, READ_SIZE)
            os.fchmod(fd, member.mode & 0o777)
            os.utime(fd, (member.mtime, member.mtime))

    def _link(self, member: tarfile.TarInfo, path: str) -> None:
        original = self.path(member.linkname)
        if os.path.dirname(original) not in self._real or not os.path.isfile(original) or os.path.islink(original):
            raise BadArchive(f"{member.name!r} links to {member.linkname!r}, which isn't a file before it")
        os.link(original, path)


def parts_of(name: str) -> list[str]:
    """A member's name in parts. Raises BadArchive where it leads out."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise BadArchive(f"{name!r} leads out of the folder")
    return [part for part in parts if part not in ("", ".")]

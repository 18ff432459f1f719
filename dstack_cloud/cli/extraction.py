"""Unpacking a tar stream from a run into a folder: whatever the stream says, nothing is written outside of it."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from dstack_cloud.errors import ServerError, UsageError

_CHUNK = 1 << 20
HOME = "home"  # where artifacts of the job's home folder go: a folder called ~ would be a trap


@dataclass
class Extracted:
    """`size` is bytes of all files."""

    files: int = 0
    size: int = 0
    warnings: list[str] = field(default_factory=list)


class _Reader:
    """What tarfile needs of a file, over pieces of a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def extract(chunks: Iterator[bytes], folder: Path) -> Extracted:
    """Files, folders and links with their permissions. Raises UsageError where `folder` can't be written, ServerError for a
    stream that ends early or isn't a tar archive, and what `chunks` raises."""
    first = next(chunks, b"")  # raises for a run that isn't there before a folder is made for it
    result = Extracted()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reader = cast("IO[bytes]", _Reader(_behind(first, chunks)))
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            _Unpacking(archive, folder.resolve(), result).run()
    except OSError as error:
        raise UsageError(
            f"can't write {error.filename or folder}: {error.strerror or error}", "name a folder that you can write to"
        ) from error
    except tarfile.TarError as error:
        raise ServerError(f"the download broke off: {error}", "try again") from error
    return result


def _behind(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


class _Unpacking:
    """`folders`: those known to be folders inside of `root`, reached through no link. Nothing here ever replaces a folder, so what
    was looked at once needs no second look: with 100,000 files that is most of the time."""

    def __init__(self, archive: tarfile.TarFile, root: Path, result: Extracted) -> None:
        self._archive = archive
        self._root = root
        self._result = result
        self._folders = {root}

    def run(self) -> None:
        modes: list[tuple[Path, int]] = []
        for member in self._archive:
            place = self._place(member.name)
            if place is None:
                self._warn(f"{member.name} leads out of the folder: left out")
            elif member.isdir():
                self._make_folder(place)
                modes.append((place, (member.mode & 0o777) | 0o700))
            elif member.isfile():
                self._write(member, place)
            elif member.issym() and self._stays(place, member.linkname):
                _cleared(place).symlink_to(member.linkname)
            else:
                self._warn(f"{member.name} is a link out of the folder, or no file: left out")
        for path, mode in reversed(modes):  # at last, so that a read-only folder can be filled
            path.chmod(mode)

    def _warn(self, text: str) -> None:
        self._result.warnings.append(text)

    def _place(self, name: str) -> Path | None:
        """Where it goes, its parent made; None where that isn't inside."""
        parts = PurePosixPath(name).parts
        if parts[:1] == ("~",):
            parts = (HOME, *parts[1:])
        if not parts or ".." in parts or "/" in parts[:1]:
            return None
        place = self._root.joinpath(*parts)
        parent = place.parent
        if parent not in self._folders:
            # a link that was here before, or came earlier in the stream, must not be written through
            if not Path(os.path.realpath(parent)).is_relative_to(self._root):
                return None
            parent.mkdir(parents=True, exist_ok=True)
            if os.path.realpath(parent) == str(parent):
                self._folders.add(parent)
        return place

    def _make_folder(self, place: Path) -> None:
        _cleared(place).mkdir(exist_ok=True)
        if place.parent in self._folders:
            self._folders.add(place)

    def _stays(self, place: Path, target: str) -> bool:
        inside = Path(os.path.realpath(place.parent / target)).is_relative_to(self._root)
        return not target.startswith("/") and inside

    def _write(self, member: tarfile.TarInfo, place: Path) -> None:
        source = self._archive.extractfile(member)
        if source is None:
            return
        with os.fdopen(_created(place), "wb") as target:
            while data := source.read(_CHUNK):
                target.write(data)
            os.fchmod(target.fileno(), member.mode & 0o777)
        self._result.files += 1
        self._result.size += member.size


def _created(place: Path) -> int:
    """A new file's descriptor: what was there before, be it a link, is removed and not written through."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(place, flags, 0o600)
    except FileExistsError:
        return os.open(_cleared(place), flags, 0o600)


def _cleared(place: Path) -> Path:
    if place.is_symlink() or place.is_file():
        place.unlink()
    return place

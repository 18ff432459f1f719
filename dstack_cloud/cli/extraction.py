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
        root = folder.resolve()
        reader = cast("IO[bytes]", _Reader(_behind(first, chunks)))
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            folders = [(path, mode) for member in archive for path, mode in _member(archive, member, root, result)]
        for path, mode in reversed(folders):  # at last, so that a read-only folder can be filled
            path.chmod(mode)
    except OSError as error:
        raise UsageError(f"can't write {error.filename or folder}: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise ServerError(f"the download broke off: {error}", "try again") from error
    return result


def _behind(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, result: Extracted
) -> Iterator[tuple[Path, int]]:
    """Writes one entry; yields a folder with the mode that it gets in the end."""
    place = _place(member.name, root)
    if place is None:
        result.warnings.append(f"{member.name} leads out of the folder: left out")
    elif member.isdir():
        _cleared(place).mkdir(exist_ok=True)
        yield place, (member.mode & 0o777) | 0o700
    elif member.isfile():
        _write(archive, member, _cleared(place))
        result.files += 1
        result.size += member.size
    elif member.issym() and _stays(place, member.linkname, root):
        _cleared(place).symlink_to(member.linkname)
    else:
        result.warnings.append(f"{member.name} is a link out of the folder, or no file: left out")


def _place(name: str, root: Path) -> Path | None:
    parts = PurePosixPath(name).parts
    if parts[:1] == ("~",):
        parts = (HOME, *parts[1:])
    if ".." in parts or "/" in parts[:1]:
        return None
    place = root.joinpath(*parts)
    # a link that was here before, or came earlier in the stream, must not be written through
    return place if Path(os.path.realpath(place.parent)).is_relative_to(root) and place != root else None


def _stays(place: Path, target: str, root: Path) -> bool:
    return not target.startswith("/") and Path(os.path.realpath(place.parent / target)).is_relative_to(root)


def _cleared(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    return place


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        return
    with place.open("wb") as target:
        while data := source.read(_CHUNK):
            target.write(data)
    place.chmod(member.mode & 0o777)

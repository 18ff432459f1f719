"""A snapshot as one stream: a tar archive in zstandard, checked against what was hashed while it is made."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dstack_cloud.client.listing import Entry, unreadable

CHUNK = 1 << 20
_COMPRESSION_LEVEL = 3
_WORTH_THREADS = 8 << 20  # bytes; below it, starting threads costs more than it saves
_KINDS = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


class Changed(Exception):
    """`path` isn't any more what it was when it was hashed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def refused(path: str, error: OSError) -> Exception:
    """Why a file that was listed can't be read: it is gone or became a link (Changed), or it may not be read."""
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return Changed(path) if gone else unreadable(path, error)


# a member that says that nothing is there any more (docs/dev/runner-protocol.md)
_REMOVED = {"DSTACK.removed": "1"}


def pack(folder: Path, entries: list[Entry], removed: Iterable[str] = ()) -> Iterator[bytes]:
    """The stream in pieces; what was `removed` comes first. Raises Changed, and UsageError for a file that can't be read."""
    import zstandard

    size = sum(entry.size for entry in entries)
    threads = -1 if size >= _WORTH_THREADS else 0
    compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL, threads=threads).compressobj()
    for part in itertools.chain(map(_removal, removed), _tar(folder, entries)):
        if packed := compressor.compress(part):
            yield packed
    yield compressor.flush()


def _tar(folder: Path, entries: list[Entry]) -> Iterator[bytes]:
    for entry in entries:
        try:
            yield from _member(f"{folder}/{entry.path}", entry)
        except OSError as error:
            raise refused(entry.path, error) from error
    yield bytes(2 * tarfile.BLOCKSIZE)


def _removal(path: str) -> bytes:
    info = tarfile.TarInfo(path)
    info.pax_headers = dict(_REMOVED)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _member(place: str, entry: Entry) -> Iterator[bytes]:
    if entry.kind == "file":
        yield from _file(place, entry)
        return
    info = os.lstat(place)
    same = stat.S_ISDIR(info.st_mode) if entry.kind == "dir" else _link_target(place, info) == entry.detail
    if not same:
        raise Changed(entry.path)
    yield _header(entry, info.st_mtime)


def _link_target(place: str, info: os.stat_result) -> str | None:
    return os.readlink(place) if stat.S_ISLNK(info.st_mode) else None  # noqa: PTH115 - hot path


def _file(place: str, entry: Entry) -> Iterator[bytes]:
    descriptor = open_file(place)
    try:
        info = os.fstat(descriptor)
        if info.st_size != entry.size or info.st_mode & 0o777 != entry.mode:
            raise Changed(entry.path)
        yield _header(entry, info.st_mtime)
        digest = hashlib.sha256()
        left = entry.size
        while left and (data := os.read(descriptor, min(CHUNK, left))):
            digest.update(data)
            left -= len(data)
            yield data
        if left or digest.hexdigest() != entry.detail:
            raise Changed(entry.path)
    finally:
        os.close(descriptor)
    yield bytes(-entry.size % tarfile.BLOCKSIZE)


def open_file(place: str) -> int:
    """Never follows a link, never waits for a pipe that took a file's place."""
    return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _header(entry: Entry, modified_at: float) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = _KINDS[entry.kind]
    info.mode = entry.mode
    info.mtime = int(modified_at)
    if entry.kind == "file":
        info.size = entry.size
    elif entry.kind == "link":
        info.linkname = entry.detail
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

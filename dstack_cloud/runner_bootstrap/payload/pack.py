"""Writes files, folders and links as one tar stream, whatever happens to them meanwhile."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable
from typing import BinaryIO, Protocol, cast

from dstack_cloud.runner_bootstrap.payload.tree import Entry, Warn

READ_SIZE = 2**18


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Exactly:
    """A file's first `size` bytes; zeros for those that are gone, because the tar has already said how many come."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self.shrunk = False

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            self.shrunk = True
            data += bytes(wanted - len(data))
        self._left -= wanted
        return data


def pack(entries: Iterable[Entry], sink: Sink, warn: Warn) -> None:
    """Members carry names, modes and whole-second times, no owners. A file that vanished or can't be read is warned of."""
    with tarfile.open(
        fileobj=cast(BinaryIO, sink), mode="w|", bufsize=READ_SIZE, format=tarfile.PAX_FORMAT,
        encoding="utf-8", errors="surrogateescape",
    ) as archive:  # fmt: skip
        for entry in entries:
            if entry.is_file:
                _add_file(archive, entry, warn)
            else:
                archive.addfile(_member(entry, entry.info))
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep every one of a hundred thousand


def _add_file(archive: tarfile.TarFile, entry: Entry, warn: Warn) -> None:
    try:
        fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        warn(f"{entry.name} couldn't be read and was left out: {error.strerror}")
        return
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            warn(f"{entry.name} is no longer a file: left out")
            return
        content = _Exactly(file, info.st_size)
        archive.addfile(_member(entry, info), cast(BinaryIO, content))
        if content.shrunk:
            warn(f"{entry.name} became shorter while it was saved: zeros stand for what is missing")


def _member(entry: Entry, info: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.name)
    member.mode = stat.S_IMODE(info.st_mode)
    member.mtime = int(info.st_mtime)
    if entry.target:
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    elif stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
    else:
        member.size = info.st_size
    return member

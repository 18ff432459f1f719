"""Writes files, folders and links as one tar stream, whatever happens to them meanwhile."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable
from io import FileIO
from typing import Protocol

from dstack_cloud.runner_bootstrap.payload.tree import Entry, Warn

READ_SIZE = 2**18


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


def pack(entries: Iterable[Entry], sink: Sink, warn: Warn) -> None:
    """Members carry names, modes and whole-second times, no owners. A file that vanished or can't be read is warned of."""
    for entry in entries:
        if entry.is_file:
            _add_file(entry, sink, warn)
        else:
            sink.write(_header(entry, entry.info))
    sink.write(bytes(2 * tarfile.BLOCKSIZE))


def _add_file(entry: Entry, sink: Sink, warn: Warn) -> None:
    try:
        fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        warn(f"{entry.name} couldn't be read and was left out: {error.strerror}")
        return
    with os.fdopen(fd, "rb", buffering=0) as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            warn(f"{entry.name} is no longer a file: left out")
            return
        sink.write(_header(entry, info))
        missing = info.st_size - _copy(file, info.st_size, sink)
    if missing:
        warn(f"{entry.name} became shorter while it was saved: zeros stand for what is missing")
    # the header has said how many come; blocks are filled up
    for size in (missing, -info.st_size % tarfile.BLOCKSIZE):
        _zeros(size, sink)


def _copy(file: FileIO, size: int, sink: Sink) -> int:
    """How many of the `size` bytes there were."""
    done = 0
    while done < size and (data := file.read(min(READ_SIZE, size - done))):
        sink.write(data)
        done += len(data)
    return done


def _zeros(size: int, sink: Sink) -> None:
    while size:
        part = min(size, READ_SIZE)
        sink.write(bytes(part))
        size -= part


def _header(entry: Entry, info: os.stat_result) -> bytes:
    member = tarfile.TarInfo(entry.name)
    member.mode = stat.S_IMODE(info.st_mode)
    member.mtime = int(info.st_mtime)
    if entry.target:
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    elif stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
    else:
        member.size = info.st_size
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

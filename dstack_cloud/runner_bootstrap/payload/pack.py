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
UNCHANGED = {"DSTACK.unchanged": "1"}
# eleven octal digits: 8 GiB
OCTAL_END = 8**11
# of a file's header, behind the sum: no link, no owner, no device, no prefix
_TAIL = b"".join((b"0", bytes(100), b"ustar\x0000", bytes(64 + 16 + 167)))
_TAIL_SUM = sum(_TAIL) + 8 * 0x20


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


def pack(entries: Iterable[Entry], sink: Sink, warn: Warn) -> None:
    """Members carry names, modes and whole-second times, no owners. A file that vanished or can't be read is warned of."""
    for entry in entries:
        if entry.is_file:
            with Opened(entry, warn) as file:
                if file.there:
                    write_file(file, sink, warn)
        else:
            sink.write(header(entry, entry.info))
    finish(sink)


class Opened:
    """A file to be sent; `there` is False where it vanished, can't be read or is no file any more."""

    def __init__(self, entry: Entry, warn: Warn) -> None:
        self.entry = entry
        self.there = False
        try:
            fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            warn(f"{entry.name} couldn't be read and was left out: {error.strerror}")
            return
        self.content: FileIO = os.fdopen(fd, "rb", buffering=0)
        self.info = os.fstat(fd)
        self.there = stat.S_ISREG(self.info.st_mode)
        if not self.there:
            self.content.close()
            warn(f"{entry.name} is no longer a file: left out")

    def now(self) -> os.stat_result:
        return os.fstat(self.content.fileno())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.there:
            self.content.close()


def write_file(file: Opened, sink: Sink, warn: Warn) -> None:
    """As long as the header says, whatever becomes of the file meanwhile."""
    size = file.info.st_size
    sink.write(header(file.entry, file.info))
    missing = size - _copy(file.content, size, sink)
    if missing:
        warn(f"{file.entry.name} became shorter while it was saved: zeros stand for what is missing")
    # the header has said how many come; blocks are filled up
    for zeros in (missing, -size % tarfile.BLOCKSIZE):
        _zeros(zeros, sink)


def write_bytes(file: Opened, data: bytes, sink: Sink) -> None:
    sink.write(header(file.entry, file.info, len(data)))
    sink.write(data)
    _zeros(-len(data) % tarfile.BLOCKSIZE, sink)


def write_unchanged(entry: Entry, sink: Sink) -> None:
    """A member without content: the receiver has it."""
    plain = header(entry, entry.info, 0)
    # the same extended header before each member that needs no other
    sink.write(_MARK + plain if len(plain) == tarfile.BLOCKSIZE else header(entry, entry.info, 0, UNCHANGED))


def _mark() -> bytes:
    member = tarfile.TarInfo("any")
    member.pax_headers = UNCHANGED
    return member.tobuf(tarfile.PAX_FORMAT)[: -tarfile.BLOCKSIZE]


_MARK = _mark()


def finish(sink: Sink) -> None:
    sink.write(bytes(2 * tarfile.BLOCKSIZE))


def header(entry: Entry, info: os.stat_result, size: int | None = None, marks: dict[str, str] | None = None) -> bytes:
    """`size`: of the content, where it isn't the file's; `marks`: PAX records."""
    if entry.is_file and not marks and (block := _quick(entry.name, info, info.st_size if size is None else size)):
        return block
    member = tarfile.TarInfo(entry.name)
    member.mode = stat.S_IMODE(info.st_mode)
    member.mtime = int(info.st_mtime)
    if entry.target:
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    elif stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
    else:
        member.size = info.st_size if size is None else size
    if marks:
        member.pax_headers = marks
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _quick(name: str, info: os.stat_result, size: int) -> bytes | None:
    """A file's header as tarfile makes it, in a tenth of the time; None where it takes more than one block of plain ASCII."""
    seconds = int(info.st_mtime)
    if len(name) > 100 or not name.isascii() or size >= OCTAL_END or not 0 <= seconds < OCTAL_END:
        return None
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (stat.S_IMODE(info.st_mode), 0, 0, size, seconds)
    head = name.encode().ljust(100, b"\0") + numbers
    # the sum counts its own eight bytes as blanks
    return b"%b%06o\0 %b" % (head, sum(head) + _TAIL_SUM, _TAIL)


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

"""Tar streams, read member by member from chunks as they come. `tarfile` takes one that breaks off between two members for
whole; here a stream without its end mark is an error."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_ZEROS = bytes(_BLOCK)
# the longest name or extended header that is believed, bytes
_LONGEST_HEADER = 2**20

_KINDS: dict[bytes, Literal["file", "dir", "link", "hardlink"]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hardlink",
}


_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
# the magic and version of headers that may hold a first part of a long name
_POSIX = b"ustar\x0000"
_BLANKS = 8 * 0x20


class BrokenTar(ValueError):
    """The stream breaks off, or isn't a tar stream of files, folders and links."""


@dataclass(frozen=True)
class Member:
    """`target` is a symlink's text, or the earlier member that a hard link is. `unchanged`: the file is as it was sent before,
    and not sent again (`DSTACK.unchanged` in an extended header)."""

    name: str
    kind: Literal["file", "dir", "link", "hardlink"]
    mode: int
    modified_at: float
    size: int
    target: str
    unchanged: bool = False


class _Header(NamedTuple):
    name: str
    type: bytes
    mode: int
    size: int
    mtime: int
    linkname: str


class TarStream:
    """Iterating gives the members; `content` the present one's bytes (what isn't asked for is skipped).

    `passed` is called with every chunk as it is taken from the source. Raises BrokenTar.
    """

    def __init__(self, chunks: Iterable[bytes], passed: Callable[[bytes], None] = lambda chunk: None) -> None:
        self._chunks = iter(chunks)
        self._passed = passed
        self._chunk = b""
        self._position = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        extended: dict[str, str] = {}
        while True:
            self._skip(self._left + self._padding)
            self._left = self._padding = 0
            block = self._read(_BLOCK)
            if block == _ZEROS:
                break
            header = _parsed(block)
            if header.type in _EXTENSIONS:
                extended.update(self._extension(header))
                continue
            yield self._member(header, extended)
            extended = {}
        if self._read(_BLOCK) != _ZEROS:
            raise BrokenTar("it has no proper end")
        for chunk in self._chunks:
            self._passed(chunk)

    def whole(self) -> bytes:
        """The present member's bytes at once."""
        data = self._read(self._left)
        self._left = 0
        return data

    def content(self) -> Iterator[bytes]:
        """The present member's bytes, in pieces as they come."""
        while self._left:
            piece = self._some(self._left)
            self._left -= len(piece)
            yield piece

    def _member(self, header: _Header, extended: dict[str, str]) -> Member:
        if header.type not in _KINDS or (extended and any(name.startswith("GNU.sparse") for name in extended)):
            raise BrokenTar(f"{header.name!r} is of a kind that isn't taken")
        kind = _KINDS[header.type]
        size = int(extended.get("size", header.size)) if kind == "file" else 0
        self._left, self._padding = size, -size % _BLOCK
        if not extended:
            return Member(header.name, kind, header.mode & 0o7777, float(header.mtime), size, header.linkname)
        return Member(
            name=extended.get("path", header.name),
            kind=kind,
            mode=header.mode & 0o7777,
            modified_at=float(extended.get("mtime", header.mtime)),
            size=size,
            target=extended.get("linkpath", header.linkname),
            unchanged=extended.get("DSTACK.unchanged") == "1",
        )

    def _extension(self, header: _Header) -> dict[str, str]:
        if header.size > _LONGEST_HEADER:
            raise BrokenTar(f"a header of {header.size} bytes")
        raw = self._read(header.size)
        self._skip(-header.size % _BLOCK)
        if header.type == tarfile.XGLTYPE:
            return {}
        if header.type == tarfile.XHDTYPE:
            return dict(_records(raw))
        name = "path" if header.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {name: raw.rstrip(b"\0").decode(errors="surrogateescape")}

    def _some(self, most: int) -> bytes:
        """At least one byte, at most `most`, without waiting for more than the next chunk."""
        while self._position >= len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                raise BrokenTar("it breaks off")
            self._passed(chunk)
            self._chunk, self._position = chunk, 0
        piece = self._chunk[self._position : self._position + most]
        self._position += len(piece)
        return piece

    def _read(self, size: int) -> bytes:
        end = self._position + size
        if end <= len(self._chunk):
            data = self._chunk[self._position : end]
            self._position = end
            return data
        pieces: list[bytes] = []
        while size:
            pieces.append(self._some(size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._some(size))


def whole_tar(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks; raises BrokenTar at the end where they were no whole tar stream."""
    passed: list[bytes] = []
    stream = TarStream(chunks, passed.append)
    for _ in stream:
        yield from passed
        passed.clear()
        for _ in stream.content():
            yield from passed
            passed.clear()
    yield from passed


def _parsed(block: bytes) -> _Header:
    """A POSIX header; `tarfile` reads the same in five times as long, which is most of what a small file costs."""
    given = _number(block[148:156])
    # the sum is over the header with blanks in its own place
    if given != sum(block) - sum(block[148:156]) + _BLANKS:
        raise BrokenTar("a header can't be read: bad checksum")
    name, prefix = _text(block[:100]), block[345:500] if block[257:265] == _POSIX else b""
    if prefix[:1] not in (b"", b"\0"):
        name = f"{_text(prefix)}/{name}"
    kind = block[156:157]
    if kind == tarfile.AREGTYPE and name.endswith("/"):
        kind = tarfile.DIRTYPE
    return _Header(
        name.rstrip("/") if kind == tarfile.DIRTYPE else name,
        kind,
        _number(block[100:108]),
        _number(block[124:136]),
        _number(block[136:148]),
        _text(block[157:257]),
    )


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Octal digits, or, where they don't suffice, a binary number (GNU)."""
    if field[0] in (0o200, 0o377):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0o377 else 0)
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError as error:
        raise BrokenTar("a header can't be read: not a number") from error


def _records(raw: bytes) -> Iterator[tuple[str, str]]:
    """Extended headers: `<length> <name>=<value>` and a newline each (POSIX pax)."""
    while raw:
        length, _, _ = raw.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(raw):
            raise BrokenTar("an extended header can't be read")
        record, raw = raw[len(length) + 1 : int(length) - 1], raw[int(length) :]
        name, _, value = record.partition(b"=")
        yield name.decode(errors="surrogateescape"), value.decode(errors="surrogateescape")

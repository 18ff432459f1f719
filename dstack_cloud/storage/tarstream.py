"""Tar streams, read member by member from chunks as they come. `tarfile` takes one that breaks off between two members for
whole; here a stream without its end mark is an error."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

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


class BrokenTar(ValueError):
    """The stream breaks off, or isn't a tar stream of files, folders and links."""


@dataclass(frozen=True)
class Member:
    """`target` is a symlink's text, or the earlier member that a hard link is."""

    name: str
    kind: Literal["file", "dir", "link", "hardlink"]
    mode: int
    modified_at: float
    size: int
    target: str


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
            if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                extended.update(self._extension(header))
                continue
            yield self._member(header, extended)
            extended = {}
        if self._read(_BLOCK) != _ZEROS:
            raise BrokenTar("it has no proper end")
        for chunk in self._chunks:
            self._passed(chunk)

    def content(self) -> Iterator[bytes]:
        """The present member's bytes, in pieces as they come."""
        while self._left:
            piece = self._some(self._left)
            self._left -= len(piece)
            yield piece

    def _member(self, header: tarfile.TarInfo, extended: dict[str, str]) -> Member:
        if header.type not in _KINDS or any(name.startswith("GNU.sparse") for name in extended):
            raise BrokenTar(f"{header.name!r} is of a kind that isn't taken")
        kind = _KINDS[header.type]
        size = int(extended.get("size", header.size)) if kind == "file" else 0
        self._left, self._padding = size, -size % _BLOCK
        return Member(
            name=extended.get("path", header.name),
            kind=kind,
            mode=header.mode & 0o7777,
            modified_at=float(extended.get("mtime", header.mtime)),
            size=size,
            target=extended.get("linkpath", header.linkname),
        )

    def _extension(self, header: tarfile.TarInfo) -> dict[str, str]:
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
        pieces: list[bytes] = []
        while size:
            pieces.append(self._some(size))
            size -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

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


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise BrokenTar(f"a header can't be read: {error}") from error


def _records(raw: bytes) -> Iterator[tuple[str, str]]:
    """Extended headers: `<length> <name>=<value>` and a newline each (POSIX pax)."""
    while raw:
        length, _, _ = raw.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(raw):
            raise BrokenTar("an extended header can't be read")
        record, raw = raw[len(length) + 1 : int(length) - 1], raw[int(length) :]
        name, _, value = record.partition(b"=")
        yield name.decode(errors="surrogateescape"), value.decode(errors="surrogateescape")

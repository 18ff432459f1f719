"""A file or folder as a tar stream, as it is: nothing is ignored, links stay links."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dstack_cloud.errors import UsageError

CHUNK = 1 << 20


def tar(path: Path, name: str) -> Iterator[bytes]:
    """All members lie at or below `name`. Raises UsageError for what can't be read, or changes meanwhile."""
    try:
        yield from _members(path, name)
    except OSError as error:
        raise UsageError(f"can't read {error.filename or path}: {error.strerror}", "make it readable") from error
    yield bytes(2 * tarfile.BLOCKSIZE)


def _members(path: Path, name: str) -> Iterator[bytes]:
    info = path.lstat()
    header = tarfile.TarInfo(name)
    header.mode, header.mtime = info.st_mode & 0o777, int(info.st_mtime)
    if stat.S_ISLNK(info.st_mode):
        header.type, header.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 - as it is written, `./x` too
        yield _encoded(header)
    elif stat.S_ISDIR(info.st_mode):
        header.type = tarfile.DIRTYPE
        yield _encoded(header)
        for child in sorted(path.iterdir()):
            yield from _members(child, f"{name}/{child.name}")
    elif stat.S_ISREG(info.st_mode):
        header.size = info.st_size
        yield _encoded(header)
        yield from _content(path, header.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data
    if left:
        raise UsageError(f"{path} changed while it was sent", "run the command again when nothing writes to it")
    yield bytes(-size % tarfile.BLOCKSIZE)


def _encoded(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

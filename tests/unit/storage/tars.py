"""Tar streams as a runner would send them, made by the standard library."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Python 3.10.12, 3.11.4 and later ask for one; Debian 12's 3.11.2 has none
FILTER: Any = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}


def pack(*members: tuple[str, object], pax: bool = True) -> bytes:
    """Members are (name, content): bytes are a file, None a folder, "-> x" a symlink, "= x" a hard link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1_700_000_000
            if isinstance(content, bytes):
                info.size, info.mode = len(content), 0o640
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            else:
                sign, _, info.linkname = str(content).partition(" ")
                info.type, info.mode = {"->": tarfile.SYMTYPE, "=": tarfile.LNKTYPE}[sign], 0o777
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def unpack(chunks: Iterator[bytes], folder: Path) -> dict[str, bytes | str | None]:
    """What is in it, the same words as `pack`'s; unpacked by the standard library."""
    found: dict[str, bytes | str | None] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), mode="r:") as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            found[info.name] = file.read() if file else (f"-> {info.linkname}" if info.issym() else None)
            tar.extract(info, folder, **FILTER)
    return found

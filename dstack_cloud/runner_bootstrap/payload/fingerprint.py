"""Tells a cache that is as it was restored from one that changed, without reading its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.tree import Entry, walk


def fingerprint(folder: Path) -> str:
    """Over paths, sizes and times to the nanosecond of files, and the targets of links; "" where there is none of them."""
    return fingerprint_of(walk(str(folder), warn=lambda text: None)) if folder.exists() else ""


def fingerprint_of(entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256()
    found = False
    for entry in entries:
        if entry.is_file or entry.target:
            found = True
            line = f"{entry.name}\0{entry.info.st_size}\0{entry.info.st_mtime_ns}\0{entry.target}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest() if found else ""

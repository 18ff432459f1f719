"""Packs the courier into one file for machines: a zip with a `__main__`. The wheels that it needs come beside it."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# whole packages, and single modules of others; nothing else of the project is there
SOURCES = ("courier/*.py", "storage/*.py", "domain/manifests.py", "runner_bootstrap/link.py", "errors.py")
# what only the server uses of them
LEFT_OUT = {"courier/bundle.py", "courier/wheels.py", "courier/shipping.py"}
MAIN = """\
import sys

sys.path.insert(1, sys.argv[1])

from dstack_cloud.courier.main import main

sys.exit(main(sys.argv[2:]))
"""
# zip knows no earlier day; the same sources give the same bytes
TIME = (1980, 1, 1, 0, 0, 0)


@functools.cache
def bundle() -> bytes:
    """The bytes of `courier.pyz`, the same for the same sources; built once a process."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", MAIN.encode())
        for package in ("", "courier/", "storage/", "domain/", "runner_bootstrap/"):
            _add(archive, f"dstack_cloud/{package}__init__.py", b"")
        for name in _names():
            _add(archive, f"dstack_cloud/{name}", (PACKAGE / name).read_bytes())
    return buffer.getvalue()


@functools.cache
def bundle_digest() -> str:
    """SHA-256 of the bundle, hexadecimal."""
    return hashlib.sha256(bundle()).hexdigest()


def _names() -> list[str]:
    found = {str(path.relative_to(PACKAGE)) for pattern in SOURCES for path in PACKAGE.glob(pattern)}
    return sorted(name for name in found - LEFT_OUT if not name.endswith("__init__.py"))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)

"""Packs the runner into one file that any Python >= 3.10 starts: a zip with a `__main__`."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = ("dstack_cloud", "dstack_cloud/runner_bootstrap")
MAIN = """\
import sys

from dstack_cloud.runner_bootstrap.payload.main import main

sys.exit(main())
"""
# zip knows no earlier day; the same sources give the same bytes
TIME = (1980, 1, 1, 0, 0, 0)


@functools.cache
def bundle() -> bytes:
    """The bytes of `runner.pyz`, the same for the same sources; built once a process."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", MAIN.encode())
        for package in PACKAGES:
            _add(archive, f"{package}/__init__.py", b"")
        for source in sorted((HERE / "payload").glob("*.py")):
            _add(archive, f"dstack_cloud/runner_bootstrap/payload/{source.name}", source.read_bytes())
    return buffer.getvalue()


@functools.cache
def bundle_digest() -> str:
    """SHA-256 of the bundle, hexadecimal."""
    return hashlib.sha256(bundle()).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)

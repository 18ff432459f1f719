"""Snapshots of working folders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dstack_cloud import errors
from dstack_cloud.services.context import Context
from dstack_cloud.storage import code

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _checked(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise errors.UsageError(f"{sha256!r} is no sha256 in lower-case hexadecimal")
    return sha256


def has_code(context: Context, project: str, sha256: str) -> bool:
    return code.code_exists(context.store(project), _checked(sha256))


def put_code(context: Context, project: str, sha256: str, chunks: Iterable[bytes]) -> None:
    """Whole or not at all: a broken upload leaves nothing."""
    code.save_code(context.store(project), _checked(sha256), chunks)

"""Snapshots of working folders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dstack_cloud import errors
from dstack_cloud.services.context import Context
from dstack_cloud.storage import code
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.checks import check_writing

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _checked(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise errors.UsageError(f"{sha256!r} is no sha256 in lower-case hexadecimal")
    return sha256


def has_code(context: Context, project: str, sha256: str) -> bool:
    """The first thing that a run asks for. Where no upload follows that would tell, it is looked whether the store can be
    written to: else a machine would be made in vain. Raises StoreError soon: somebody waits."""
    store = _probe(context, project)
    found = code.code_exists(store, _checked(sha256))
    if found:
        check_writing(store)
    return found


def put_code(context: Context, project: str, sha256: str, chunks: Iterable[bytes]) -> None:
    """Whole or not at all: a broken upload leaves nothing. A store that doesn't answer is said before much is sent to it."""
    code.code_exists(_probe(context, project), _checked(sha256))
    code.save_code(context.store(project), _checked(sha256), chunks)


def _probe(context: Context, project: str) -> Store:
    return context.probes.get(project) or context.store(project)

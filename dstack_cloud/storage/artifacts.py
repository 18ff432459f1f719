"""A job's outputs: from the runner's tar stream to plain objects and a manifest, and back to a tar stream."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Entry, Manifest
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import JobPlace
from dstack_cloud.storage.published import content_of, discard, load_manifest, object_key, publish, settle, withdraw
from dstack_cloud.storage.saving import save_artifacts
from dstack_cloud.storage.transfers import SMALL, downloads

__all__ = ["archive", "content_of", "discard", "load_manifest", "publish", "save_artifacts", "settle", "withdraw"]

# small pieces of an archive are joined to about this many bytes
_PIECE = 2**18
_END = bytes(2 * tarfile.BLOCKSIZE)


def archive(store: Store, *manifests: Manifest, prefix: str = "") -> Iterator[bytes]:
    """A tar stream of what is at or below `prefix`, under the paths it has in the manifests: what a later one has takes the place of
    the same path of an earlier one.

    Every file's SHA-256 is checked on the way; raises StoreError at the first that differs or is missing, and the stream
    then has no end mark.
    """
    for number, manifest in enumerate(manifests, 1):
        later = {entry.path for other in manifests[number:] for entry in other.below(prefix)}
        yield from _members(store, manifest, [entry for entry in manifest.below(prefix) if entry.path not in later])
    yield _END


def _members(store: Store, manifest: Manifest, entries: list[Entry]) -> Iterator[bytes]:
    buffer = bytearray()
    small = downloads(store, ((object_key(manifest, entry), entry.size) for entry in entries if _is_small(entry)))
    for entry in entries:
        buffer += _header(entry)
        if entry.kind == "file":
            for chunk in _verified(entry, _content(store, manifest, entry, small)):
                if len(chunk) >= _PIECE:
                    yield bytes(buffer)
                    buffer.clear()
                    yield chunk
                    continue
                buffer += chunk
                if len(buffer) >= _PIECE:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(buffer)


def _is_small(entry: Entry) -> bool:
    return entry.kind == "file" and entry.size <= SMALL


def _content(store: Store, manifest: Manifest, entry: Entry, small: Iterator[bytes | None]) -> Iterator[bytes]:
    """`small`: those of the small files, in order. Raises StoreError."""
    if _is_small(entry):
        data = next(small)
        return iter((data,)) if data is not None else _moved(store, manifest, entry)
    try:
        return store.open(object_key(manifest, entry))
    except errors.NotFound:
        return _moved(store, manifest, entry)


def _moved(store: Store, manifest: Manifest, entry: Entry) -> Iterator[bytes]:
    """From where the manifest that counts by now has the same file: while a job runs, and at its end, objects move."""
    newest = load_manifest(store, JobPlace(manifest.run, manifest.job))
    if newest is not None:
        for found in newest.below(entry.path):
            if found.path == entry.path and found.sha256 == entry.sha256 and found != entry:
                return store.open(object_key(newest, found))
    raise errors.StoreError(
        f"the object of {entry.path!r} isn't there any more",
        "a running job's files change from save to save: ask again; of a job that is over, it was removed from the store",
    )


def _verified(entry: Entry, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Never more bytes than the manifest says, or the stream behind them would be misread."""
    digest = hashlib.sha256()
    left = entry.size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        digest.update(chunk)
        yield chunk
    if left or digest.hexdigest() != entry.sha256:
        raise errors.StoreError(
            f"the object of {entry.path!r} isn't what was saved", "it was changed in the store; run the workflow again"
        )


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[entry.kind]
    info.mode, info.size, info.linkname, info.mtime = entry.mode, entry.size, entry.target, int(entry.modified_at)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

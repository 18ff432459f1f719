"""The object stores: a local folder, S3, Google Cloud Storage, Azure Blob Storage, or memory for tests; all through obstore."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from dstack_cloud import errors
from dstack_cloud.storage.base import ObjectInfo
from dstack_cloud.storage.keys import to_key, to_path

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Connection

# A part of a multipart upload, bytes: S3 allows 10,000 parts, so objects of up to 160 GB; _PARTS_AT_ONCE are in memory.
PART = 16 * 2**20
_PARTS_AT_ONCE = 4
# what `open` yields, bytes
_CHUNK = 2**20
# S3's DeleteObjects takes 1,000
_DELETE_AT_ONCE = 1_000
_REMOTE_WIDTH = 16


class ObjectStore:
    """Satisfies `storage.base.Store`. Every method may raise StoreError. Threads may share it.

    `width`: how many small transfers side by side are fastest; on a local disk threads only get in each other's way.
    """

    def __init__(self, connection: Connection, *, width: int) -> None:
        self._connection = connection
        self.width = width

    def put(self, key: str, chunks: bytes | Iterable[bytes]) -> None:
        """What fits in one part goes as one request; more is streamed, a few parts in memory at a time."""
        data, rest = (chunks, iter(())) if isinstance(chunks, bytes) else _first(chunks, PART)
        if len(data) < PART or isinstance(chunks, bytes):
            with _translated(key):
                obstore.put(self._connection, to_path(key), data)
        else:
            self._put_streamed(key, itertools.chain((data,), rest))

    def _put_streamed(self, key: str, chunks: Iterator[bytes]) -> None:
        # obstore.put would take an iterator too, but it pulls it inside its own event loop, where reading another object
        # (which chunks may well do) panics. Leaving the writer by an exception aborts the upload.
        with (
            _translated(key, source := _Source(chunks)),
            obstore.open_writer(
                self._connection, to_path(key), buffer_size=PART, max_concurrency=_PARTS_AT_ONCE
            ) as writer,
        ):
            for chunk in source:
                writer.write(chunk)

    def create(self, key: str, data: bytes) -> bool:
        with _translated(key):
            try:
                obstore.put(self._connection, to_path(key), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        with _translated(key):
            return bytes(obstore.get(self._connection, to_path(key)).bytes())

    def open(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        """`start` at or behind the end gives nothing."""
        path = to_path(key)
        with _translated(key):
            if start and start >= obstore.head(self._connection, path)["size"]:
                return iter(())
            found = obstore.get(self._connection, path, options={"range": {"offset": start}} if start else None)
        return _chunks(key, found)

    def exists(self, key: str) -> bool:
        try:
            with _translated(key):
                obstore.head(self._connection, to_path(key))
        except errors.NotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with _translated(prefix):
            found = [
                ObjectInfo(to_key(meta["path"]), meta["size"], meta["last_modified"].timestamp())
                for batch in obstore.list(self._connection, to_path(prefix.removesuffix("/")) if prefix else None)
                for meta in batch
            ]
        return iter(sorted(found, key=lambda info: info.key))

    def delete(self, keys: Iterable[str]) -> None:
        """A local store also removes the folders that this leaves empty."""
        paths = [to_path(key) for key in keys]
        for start in range(0, len(paths), _DELETE_AT_ONCE):
            batch = paths[start : start + _DELETE_AT_ONCE]
            try:
                with _translated(batch[0]):
                    obstore.delete(self._connection, batch)
            except errors.NotFound:
                # some stores stop at the first missing one
                with ThreadPoolExecutor(self.width) as pool:
                    list(pool.map(self._delete_one, batch))

    def _delete_one(self, path: str) -> None:
        try:
            with _translated(path):
                obstore.delete(self._connection, path)
        except errors.NotFound:
            pass


class _Source(Iterator[bytes]):
    """The caller's chunks. Remembers what they raised: that is the caller's error, not the store's."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _first(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first chunks, joined, until they are `size` bytes or all; and the rest."""
    rest = iter(chunks)
    data = bytearray()
    for chunk in rest:
        data += chunk
        if len(data) >= size:
            break
    return bytes(data), rest


def _chunks(key: str, found: obstore.GetResult) -> Iterator[bytes]:
    with _translated(key):
        for chunk in found.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)


@contextmanager
def _translated(key: str, source: _Source | None = None) -> Iterator[None]:
    """obstore's errors in ours. Raises NotFound, StoreError."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        hint = "look at the permissions of the folder, or at the credentials and their rights to the bucket"
        raise errors.StoreError(f"the object store refused access: {_first_line(error)}", hint) from error
    except (BaseError, OSError) as error:
        if source is not None and error is source.error:
            raise
        if isinstance(error, FileNotFoundError):
            raise errors.NotFound(f"the store has no {key}") from error
        hint = "look at free disk space, or at the network and the store's URL"
        raise errors.StoreError(f"the object store failed at {key}: {_first_line(error)}", hint) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def open_store(url: str, *, options: Mapping[str, str] | None = None) -> ObjectStore:
    """`file:///folder` (made with mode 0700), `s3://bucket/prefix`, `gs://…`, `az://…` or `memory://`.

    `options` are obstore's names for a cloud's settings (`region`, `endpoint` …). Connects to nothing yet. Raises
    ConfigurationError.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _local(url, Path(unquote(parts.path)))
    if parts.scheme == "memory":
        return ObjectStore(obstore.store.MemoryStore(), width=1)
    if parts.scheme not in ("s3", "gs", "az"):
        raise errors.ConfigurationError(
            f"{url!r} is no place for objects", "write file:///folder, s3://bucket, gs://bucket or az://container"
        )
    settings: dict[str, Any] = dict(options or {})
    try:
        return ObjectStore(obstore.store.from_url(url, **settings), width=_REMOTE_WIDTH)
    except (BaseError, ValueError) as error:
        raise errors.ConfigurationError(
            f"the store {url} can't be used: {_first_line(error)}", "look at the URL and the store's options"
        ) from error


def _local(url: str, folder: Path) -> ObjectStore:
    if not folder.is_absolute() or urlsplit(url).netloc:
        raise errors.ConfigurationError(f"{url!r} names no folder of this computer", "write file:///folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            f"the store's folder {folder} can't be made: {error.strerror}", "look at its permissions"
        ) from error
    return ObjectStore(obstore.store.LocalStore(folder, automatic_cleanup=True), width=1)

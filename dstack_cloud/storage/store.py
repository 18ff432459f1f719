"""The object stores: a local folder, S3, Google Cloud Storage, Azure Blob Storage, or memory for tests; all through obstore."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError

from dstack_cloud import errors
from dstack_cloud.storage.base import ObjectInfo
from dstack_cloud.storage.failures import Source, Target, translated
from dstack_cloud.storage.keys import to_key, to_path
from dstack_cloud.storage.opening import connect
from dstack_cloud.storage.ranges import stream_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore as Connection

    from dstack_cloud.storage.opening import Credentials

# what is smaller goes in one request, bytes
PART = 16 * 2**20
# so many bytes of one object are on their way at once, in parts of a multipart upload
_IN_FLIGHT = 64 * 2**20
# eight at once are faster than four twice as large, but S3 allows 10,000
_SMALLEST_PART = 8 * 2**20
_MOST_PARTS = 9_000
# what `open` yields, bytes
_CHUNK = 2**20
# S3's DeleteObjects takes 1,000
_DELETE_AT_ONCE = 1_000
# more gained nothing with 5 ms of latency, and far fewer did harm
_REMOTE_WIDTH = 64


class ObjectStore:
    """Satisfies `storage.base.Store`. Every method may raise StoreError. Threads may share it.

    `width`: how many small transfers side by side are fastest; on a local disk threads only get in each other's way.
    """

    def __init__(self, connection: Connection, *, width: int, target: Target | None = None) -> None:
        self._connection = connection
        self._target = target or Target()
        self.width = width

    def put(self, key: str, chunks: bytes | Iterable[bytes], *, size: int = 0) -> None:
        """What fits in one part goes as one request; more is streamed, a few parts in memory at a time."""
        data, rest = (chunks, iter(())) if isinstance(chunks, bytes) else _first(chunks, PART)
        if len(data) < PART or isinstance(chunks, bytes):
            with translated(self._target, key):
                obstore.put(self._connection, to_path(key), data, use_multipart=len(data) > PART)
        else:
            self._put_streamed(key, itertools.chain((data,), rest), _part(size))

    def _put_streamed(self, key: str, chunks: Iterator[bytes], part: int) -> None:
        # obstore.put would take an iterator too, but it pulls it inside its own event loop, where reading another object
        # (which chunks may well do) panics. Leaving the writer by an exception aborts the upload.
        with (
            translated(self._target, key, source := Source(chunks)),
            obstore.open_writer(
                self._connection, to_path(key), buffer_size=part, max_concurrency=max(2, _IN_FLIGHT // part)
            ) as writer,
        ):
            for chunk in source:
                writer.write(chunk)

    def create(self, key: str, data: bytes) -> bool:
        with translated(self._target, key):
            try:
                obstore.put(self._connection, to_path(key), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        with translated(self._target, key):
            return bytes(obstore.get(self._connection, to_path(key)).bytes())

    def open(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        """`start` at or behind the end gives nothing."""
        path = to_path(key)
        with translated(self._target, key):
            chunks: Iterator[bytes]
            if self.width == 1:
                if start and start >= obstore.head(self._connection, path)["size"]:
                    return iter(())
                found = obstore.get(self._connection, path, options={"range": {"offset": start}} if start else None)
                chunks = map(bytes, found.stream(min_chunk_size=_CHUNK))
            else:
                chunks = stream_ahead(self._connection, path, start)
        return self._translated(key, chunks)

    def _translated(self, key: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        with translated(self._target, key):
            yield from chunks

    def exists(self, key: str) -> bool:
        try:
            with translated(self._target, key):
                self._head(to_path(key))
        except errors.NotFound:
            return False
        return True

    def _head(self, path: str) -> None:
        try:
            obstore.head(self._connection, path)
        except PermissionDeniedError:
            # this refusal has no body that would say why; that of a GET has
            obstore.get(self._connection, path, options={"range": (0, 1)})

    def copy(self, source: str, target: str) -> None:
        with translated(self._target, source):
            obstore.copy(self._connection, to_path(source), to_path(target))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with translated(self._target, prefix):
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
                with translated(self._target, batch[0]):
                    obstore.delete(self._connection, batch)
            except errors.NotFound:
                # some stores stop at the first missing one
                with ThreadPoolExecutor(self.width) as pool:
                    list(pool.map(self._delete_one, batch))

    def _delete_one(self, path: str) -> None:
        try:
            with translated(self._target, path):
                obstore.delete(self._connection, path)
        except errors.NotFound:
            pass


def _part(size: int) -> int:
    """Bytes a part of an object of so many bytes; where that is unknown, 160 GB must do."""
    return max(_SMALLEST_PART, -(-size // _MOST_PARTS)) if size else PART


def _first(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first chunks, joined, until they are `size` bytes or all; and the rest."""
    rest = iter(chunks)
    data = bytearray()
    for chunk in rest:
        data += chunk
        if len(data) >= size:
            break
    return bytes(data), rest


def open_store(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    credentials: Credentials | None = None,
    patience: float = 90.0,
) -> ObjectStore:
    """`file:///folder` (made with mode 0700), `s3://bucket/prefix`, `gs://…`, `az://…` or `memory://`.

    `options` are obstore's names for a cloud's settings (`region`, `endpoint`, `allow_http` …). `credentials` is called
    whenever the ones that it gave before run out: obstore's names too, with `expires_at`, a time with its zone or None.
    `patience`: how long, in seconds, a request is sent again while the store is away. Connects to nothing yet. Raises
    ConfigurationError.
    """
    connection, target = connect(url, options or {}, credentials, patience)
    return ObjectStore(connection, width=_REMOTE_WIDTH if target.url else 1, target=target)

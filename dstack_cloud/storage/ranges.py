"""Reading one large object in pieces, the next ones fetched ahead: one connection alone is slower than a store can be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore as Connection

_PIECE = 8 * 2**20
_AHEAD = 6
# an answer that breaks off is asked for again by obstore itself, but not where standing still has used up its patience
_TRIES = 3
_BROKEN_OFF = "body error"


def stream_ahead(connection: Connection, path: str, start: int = 0) -> Iterator[bytes]:
    """The object from byte `start` in pieces; nothing where that is at or behind its end. Raises obstore's errors, those of
    a missing object at once. All pieces are of the same object, though another one may take its place meanwhile."""
    found = None if start else obstore.get(connection, path)
    meta = found.meta if found else obstore.head(connection, path)
    size, tag = meta["size"], meta["e_tag"]
    if found and size <= _PIECE:
        return iter((bytes(found.bytes()),))
    return _ahead(connection, path, range(start, size, _PIECE), tag)


def _ahead(connection: Connection, path: str, starts: range, tag: str | None) -> Iterator[bytes]:
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="read") as pool:
        waiting: deque[Future[bytes]] = deque()
        try:
            for start in starts:
                waiting.append(pool.submit(_piece, connection, path, start, min(start + _PIECE, starts.stop), tag))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # the reader may have left
            for future in waiting:
                future.cancel()


def _piece(connection: Connection, path: str, start: int, end: int, tag: str | None) -> bytes:
    options: GetOptions = {"range": (start, end)}
    if tag:
        options["if_match"] = tag
    for left in reversed(range(_TRIES)):
        try:
            return bytes(obstore.get(connection, path, options=options).bytes())
        except BaseError as error:
            if not left or _BROKEN_OFF not in str(error):
                raise
    raise AssertionError("the last try returns or raises")

"""One transaction a thread: what repositories do inside `Transactions.transaction` commits together or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import Connection, Engine

from dstack_cloud.db.engine import READS


class Transactions:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(**{READS: True} if sqlite else {"isolation_level": "AUTOCOMMIT"})
        # SQLite lets one write at a time, and waiting threads sleep there; here they queue
        self._writing: AbstractContextManager[object] = threading.Lock() if sqlite else nullcontext()
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One inside another joins it."""
        with self.writing():
            yield

    def reading(self) -> AbstractContextManager[Connection]:
        """This thread's transaction, or a connection that takes no lock."""
        current = self._current
        return nullcontext(current) if current is not None else self._reader.connect()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """This thread's transaction, or one of its own."""
        current = self._current
        if current is not None:
            yield current
            return
        try:
            with self._writing, self._engine.begin() as connection:
                self._local.connection = connection
                yield connection
        finally:
            self._local.connection = None
            actions: list[Callable[[], None]] = getattr(self._local, "afterwards", [])
            self._local.afterwards = []
            for action in actions:
                action()

    def afterwards(self, action: Callable[[], None]) -> None:
        """Does it when this thread's transaction has ended, either way; at once where there is none."""
        if self._current is None:
            action()
        else:
            self._local.afterwards = [*getattr(self._local, "afterwards", []), action]

    @property
    def _current(self) -> Connection | None:
        return getattr(self._local, "connection", None)

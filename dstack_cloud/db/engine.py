"""The engine of a database URL, set up so that what is committed stays committed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from dstack_cloud import errors

# option of connections that only read: on SQLite they take no lock and no transaction of their own
READS = "dstack_reads"

# how long a writer waits for another process before it is an error
BUSY_SECONDS = 30


def make_engine(url: str) -> Engine:
    """`sqlite:////path/to/file` or `postgresql://user:password@host/name`. Raises ConfigurationError.

    SQLite: write-ahead log and synchronous=FULL, so an intent that was committed survives a power cut.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed)
        return _postgresql(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise errors.ConfigurationError(
            "the database's URL can't be understood", "write sqlite:////path/to/file or postgresql://user@host/name"
        ) from error


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise errors.ConfigurationError("an SQLite database needs a file", "write sqlite:////path/to/file")
    _make_private_file(Path(url.database))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=8, max_overflow=64)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", _translate)
    return engine


def _make_private_file(path: Path) -> None:
    """The rows hold sealed secrets and host names: nobody else reads them (the WAL takes the file's mode)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise errors.ConfigurationError(
            f"the database {path} can't be opened: {error.strerror}", "look at the folder and its permissions"
        ) from error


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # the driver's own implicit transactions are switched off: _begin_sqlite says when one begins
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later can't fail half-way because another one wrote
    if not connection.get_execution_options().get(READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise errors.ConfigurationError(
            f"databases of kind {url.get_backend_name()!r} aren't supported", "use SQLite or PostgreSQL"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise errors.ConfigurationError(
            "PostgreSQL needs the psycopg package", "pip install 'psycopg[binary]'"
        ) from error
    event.listen(engine, "handle_error", _translate)
    return engine


def _translate(context: ExceptionContext) -> None:
    """A database that doesn't answer as it should is a failure of the server, in the driver's words."""
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and type(error).__name__ in ("OperationalError", "DatabaseError"):
        text = " ".join(str(error.orig).split())
        raise errors.ServerError(
            f"the database failed: {text}", "look at its disk's free space, its permissions, and whether it runs"
        ) from error.orig

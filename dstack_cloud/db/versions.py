"""Which version of the tables a database has. One that is up to date is opened without Alembic, which is slow to import."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from dstack_cloud import errors
from dstack_cloud.db.engine import READS

# the revisions in migrations/versions, oldest first; a test compares them
VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
HEAD = VERSIONS[-1]

# any number, the same in all servers: who holds it migrates
_POSTGRESQL_LOCK = 0x6473_7461_636B


def bring_up_to_date(engine: Engine) -> None:
    """Raises ConfigurationError for a database that a newer dstack made."""
    with engine.connect().execution_options(**{READS: True}) as connection:
        if read_version(connection) == HEAD:
            return
    with engine.begin() as connection:
        # two servers that start at once: the second finds the work done
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRESQL_LOCK})
        if read_version(connection) != HEAD:
            upgrade(connection)


def read_version(connection: Connection) -> str | None:
    """None: there are no tables yet."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version is not None and version not in VERSIONS:
        raise errors.ConfigurationError(
            f"the database was made by a newer dstack (its version is {version}, this one knows {HEAD})",
            "install the newer dstack, or point DSTACK_HOME at another folder",
        )
    return version


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs the migrations inside the connection's transaction."""
    from alembic import command

    from dstack_cloud.db.migrations import configuration

    command.upgrade(configuration(connection), revision)

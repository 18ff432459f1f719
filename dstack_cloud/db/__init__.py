"""Rows in SQLite or PostgreSQL; satisfies `domain.repositories`. Only this package knows SQLModel."""

from dstack_cloud.db.database import SqlDatabase, open_database

__all__ = ["SqlDatabase", "open_database"]

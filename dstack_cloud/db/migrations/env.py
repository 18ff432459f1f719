"""What Alembic runs first."""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlalchemy import Connection
from sqlmodel import AutoString

from dstack_cloud.db.tables import Base


def render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """SQLModel's own string type is a plain one in a script."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


def migrate(connection: Connection) -> None:
    # batch: SQLite changes a column by copying its table
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render,
    )
    with context.begin_transaction():
        context.run_migrations()


migrate(context.config.attributes["connection"])

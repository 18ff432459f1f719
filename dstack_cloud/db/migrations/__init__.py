"""Alembic's scripts, packaged. A new one: `python -m dstack_cloud.db.migrations "what it does"`, then `db/versions.py`."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def configuration(connection: Connection | None = None) -> Config:
    """For Alembic's commands; they run on `connection`, inside its transaction."""
    # a percent sign in the folder's path would be interpolation
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config

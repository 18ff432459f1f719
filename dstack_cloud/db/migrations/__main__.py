"""Writes a new revision from the difference between the tables and the newest migration."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from dstack_cloud.db.engine import make_engine
from dstack_cloud.db.migrations import configuration
from dstack_cloud.db.versions import VERSIONS, upgrade


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{Path(folder) / 'empty.db'}")
        with engine.begin() as connection:
            upgrade(connection)
        with engine.begin() as connection:
            number = f"{len(VERSIONS) + 1:04d}"
            command.revision(configuration(connection), " ".join(sys.argv[1:]), autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    main()

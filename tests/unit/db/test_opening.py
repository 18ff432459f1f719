from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from dstack_cloud import errors
from dstack_cloud.db import open_database, versions
from dstack_cloud.db.engine import make_engine
from dstack_cloud.db.migrations import configuration
from dstack_cloud.db.tables import Base
from tests.unit.db.rows import fill

OPEN = """
import sys
from dstack_cloud.db import open_database
open_database(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


def test_the_constant_lists_the_migrations():
    scripts = ScriptDirectory.from_config(configuration()).walk_revisions()
    assert [script.revision for script in scripts][::-1] == list(versions.VERSIONS)


def test_the_migrations_make_the_tables(url, database):
    engine = make_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_down_and_up_again(url, database):
    from alembic import command

    engine = make_engine(url)
    with engine.begin() as connection:
        command.downgrade(configuration(connection), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    again = open_database(url)
    fill(again, "a")
    again.close()


def test_an_existing_database_opens_without_alembic(url):
    answers = [subprocess.run([sys.executable, "-c", OPEN, url], capture_output=True, text=True) for _ in range(2)]
    assert [answer.stdout.strip() for answer in answers] == ["True", "False"], answers


def test_two_servers_that_make_it_at_once(url):
    servers = [
        subprocess.Popen([sys.executable, "-c", OPEN, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(server.communicate()[1], server.returncode) for server in servers] == [(b"", 0)] * 3


def test_rows_stay(url, database):
    fill(database, "a")
    database.close()
    again = open_database(url)
    assert [run.name for run in again.runs.recent("main", limit=9)] == ["a"]
    again.close()


def test_a_newer_database_is_refused_and_stays_as_it_is(url, database):
    fill(database, "a")
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.ConfigurationError, match="made by a newer dstack") as caught:
        open_database(url)
    assert caught.value.hint
    engine.dispose()
    assert len(database.runs.recent("main", limit=9)) == 1


def test_commits_survive_a_power_cut(tmp_path):
    path = tmp_path / "private.db"
    database = open_database(f"sqlite:///{path}")
    with database._engine.connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert values == ["wal", 2]
    assert path.stat().st_mode & 0o777 == 0o600
    database.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:////no/such/x.db"]
)
def test_refuses_urls_that_lead_nowhere(url):
    with pytest.raises(errors.ConfigurationError) as caught:
        open_database(url)
    assert caught.value.hint


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "x.db"
    path.write_text("certainly no database " * 100)
    with pytest.raises(errors.ServerError, match="not a database"):
        open_database(f"sqlite:///{path}")


def test_a_postgresql_that_does_not_answer():
    pytest.importorskip("psycopg")
    with pytest.raises(errors.ServerError, match="the database failed"):
        open_database("postgresql://nobody@/x?host=/nonexistent")


def test_reads_do_not_wait_for_a_writer(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    database = open_database(url)
    fill(database, "a")
    writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert database.runs.get("main", "a") is not None
    assert database.next_due() is not None
    open_database(url).close()
    writer.close()
    database.close()


def test_the_scripts_are_in_the_package():
    from dstack_cloud.db import migrations

    folder = Path(migrations.__file__).parent
    assert (folder / "env.py").is_file()
    assert len(list((folder / "versions").glob("v*.py"))) == len(versions.VERSIONS)

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.db import SqlDatabase, open_database
from tests.unit.db.postgresql import make_database, running_server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    with running_server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'dstack.db'}"
    return make_database(request.getfixturevalue("postgresql"), f"test_{os.getpid()}_{next(_numbers)}")


@pytest.fixture
def database(url) -> Iterator[SqlDatabase]:
    database = open_database(url)
    yield database
    database.close()

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.server.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """In a folder with a short name: a socket's path may have 103 bytes."""
    home = Path(tempfile.mkdtemp(prefix="site-"))
    made = Site(home)
    yield made
    made.close()
    shutil.rmtree(home)

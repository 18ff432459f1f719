from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.local.client import remove_tree
from tests.unit.orchestrator.errand import Errand
from tests.unit.runner.rig import Rig


@pytest.fixture
def errand() -> Iterator[Errand]:
    """In a folder with a short name: a socket's path may have 103 bytes."""
    base = Path(tempfile.mkdtemp(prefix="errand-"))
    rig = Rig(base).start()
    made = Errand(rig)
    yield made
    made.close()
    if rig.process is not None:
        rig.end()
    remove_tree(base)

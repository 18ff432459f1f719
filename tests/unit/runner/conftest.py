from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.local.client import remove_tree
from dstack_cloud.runner_bootstrap.payload.engine import Engine
from tests.unit.runner.rig import Rig
from tests.unit.runner.tiny_image import tiny_image


@pytest.fixture
def rig() -> Iterator[Rig]:
    """In a folder with a short name: a socket's path may have 103 bytes."""
    base = Path(tempfile.mkdtemp(prefix="rig-"))
    made = Rig(base)
    yield made
    if made.process is not None:
        made.end()
    remove_tree(base)


@pytest.fixture
def runner(rig: Rig) -> Rig:
    return rig.start()


@pytest.fixture(scope="session")
def image() -> str:
    engine = Engine()
    if not engine.available():
        pytest.skip("no Docker engine answers")
    return tiny_image(engine)

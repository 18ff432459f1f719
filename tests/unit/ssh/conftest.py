from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.ssh.connection import Connection
from tests.unit.ssh import sshd as daemon


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[daemon.Sshd]:
    if daemon.PROGRAM is None:
        pytest.skip("no sshd here: install openssh-server")
    running = daemon.make(tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def connection(sshd: daemon.Sshd) -> Iterator[Connection]:
    made = Connection(sshd.endpoint, sshd.trust)
    yield made
    made.close()

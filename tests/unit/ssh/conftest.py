from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.ssh.connection import Connection
from tests.unit.ssh import sshd as daemon
from tests.unit.ssh.web import Page


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


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a web server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def jump(tmp_path: Path, sshd: daemon.Sshd) -> Iterator[daemon.Sshd]:
    """Another machine, with keys of its own."""
    (tmp_path / "jump").mkdir()
    running = daemon.make(tmp_path / "jump")
    running.start()
    yield running
    running.kill()

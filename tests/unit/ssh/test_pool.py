from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.endpoint import Trust
from dstack_cloud.ssh.pool import Connections
from dstack_cloud.ssh.tunnel import LOOPBACK, Probe, Tunnel, to_this_computer
from tests.unit.ssh.sshd import Sshd
from tests.unit.ssh.web import BODY, fetch


@pytest.fixture
def pool() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


def test_threads_share_one_connection(sshd: Sshd, pool: Connections) -> None:
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: pool.get(str(sshd.endpoint), sshd.trust), range(16)))
    assert len(set(map(id, got))) == 1
    assert got[0].run("echo hi").out == b"hi\n"


def test_a_dead_connection_is_replaced(sshd: Sshd, pool: Connections) -> None:
    first = pool.get(str(sshd.endpoint), sshd.trust)
    stream = first.dial("sleep 600")
    sshd.kill()
    with pytest.raises(ConnectionResetError):
        stream.recv(1)
    with pytest.raises(SshError):
        pool.get(str(sshd.endpoint), sshd.trust)
    sshd.start()
    assert pool.get(str(sshd.endpoint), sshd.trust).run("echo back").out == b"back\n"


def test_a_new_machine_at_an_old_address_is_not_taken_for_the_old_one(sshd: Sshd, pool: Connections) -> None:
    pool.get(str(sshd.endpoint), sshd.trust)
    with pytest.raises(HostKeyMismatch):
        pool.get(str(sshd.endpoint), Trust(sshd.client.private, (keys.generate().public,)))


def test_forgetting_closes(sshd: Sshd, pool: Connections) -> None:
    kept = pool.get(str(sshd.endpoint), sshd.trust)
    pool.forget(str(sshd.endpoint))
    assert not kept.alive
    assert pool.get(str(sshd.endpoint), sshd.trust) is not kept


def test_a_tunnel_over_it_goes_on_after_a_broken_connection(sshd: Sshd, pool: Connections, page: int) -> None:
    place = (LOOPBACK, page)
    tunnel = Tunnel(0, lambda peer: pool.get(str(sshd.endpoint), sshd.trust).direct(place, peer))
    assert fetch(tunnel.port) == BODY
    before = pool.get(str(sshd.endpoint), sshd.trust)
    sshd.kill()
    deadline = time.monotonic() + 60
    while before.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Probe(to_this_computer(tunnel.port)).answers()
    sshd.start()
    assert fetch(tunnel.port) == BODY
    tunnel.close()

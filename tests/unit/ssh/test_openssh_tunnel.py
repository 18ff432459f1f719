"""The OpenSSH client as the carrier of tunnels."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import keys, openssh
from dstack_cloud.ssh.endpoint import Jump, Trust
from dstack_cloud.ssh.openssh_tunnel import OpenSshTunnel
from dstack_cloud.ssh.tunnel import Probe, to_this_computer
from tests.unit.ssh.sshd import Sshd, free_port
from tests.unit.ssh.web import BODY, fetch

PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With what the client's configuration has to quote."""
    made = tmp_path / "a folder, 100% mine"
    made.mkdir()
    return made


@pytest.fixture
def serve(sshd: Sshd, folder: Path) -> Iterator[Callable[..., OpenSshTunnel]]:
    if openssh.program() is None:
        pytest.skip("no OpenSSH client here")
    made = []

    def opened(target: int, local: int = 0, trust: Trust | None = None) -> OpenSshTunnel:
        made.append(OpenSshTunnel(local, sshd.endpoint, trust or sshd.trust, target, folder))
        return made[-1]

    yield opened
    for tunnel in made:
        tunnel.close()
    assert list(folder.iterdir()) == []


def await_answer(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Probe(to_this_computer(port)).answers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_serves_what_listens_there(serve: Callable[..., OpenSshTunnel], page: int) -> None:
    assert fetch(serve(page).port) == BODY


def test_the_next_port_where_one_is_taken(serve: Callable[..., OpenSshTunnel], page: int) -> None:
    wanted = free_port()
    assert serve(page, wanted).port == wanted
    other = serve(page, wanted)
    assert other.port > wanted
    assert fetch(other.port) == BODY


def test_it_connects_again_and_keeps_its_port(serve: Callable[..., OpenSshTunnel], page: int, sshd: Sshd) -> None:
    tunnel = serve(page)
    sshd.kill()
    sshd.start()
    await_answer(tunnel.port)
    assert fetch(tunnel.port) == BODY


def test_another_host_key_is_refused(serve: Callable[..., OpenSshTunnel], page: int, sshd: Sshd) -> None:
    with pytest.raises(HostKeyMismatch):
        serve(page, trust=Trust(sshd.client.private, (keys.generate().public,)))


def test_a_refused_key_is_told(serve: Callable[..., OpenSshTunnel], page: int, sshd: Sshd) -> None:
    with pytest.raises(SshError, match="Permission denied"):
        serve(page, trust=Trust(keys.generate().private, (sshd.host.public,)))


def test_a_machine_behind_another(serve: Callable[..., OpenSshTunnel], page: int, sshd: Sshd, jump: Sshd) -> None:
    tunnel = serve(page, trust=replace(sshd.trust, jumps=(Jump(str(jump.endpoint), jump.trust),)))
    assert fetch(tunnel.port) == BODY


def test_it_ends_with_the_program_that_wanted_it(sshd: Sshd, folder: Path, page: int) -> None:
    if openssh.program() is None:
        pytest.skip("no OpenSSH client here")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"%d\n" % OpenSshTunnel(0, sshd.endpoint, sshd.trust, page, folder).port)
        signal.pause()
    port = int(os.read(reader, 100))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    deadline = time.monotonic() + PATIENCE
    while Probe(to_this_computer(port)).answers():
        assert time.monotonic() < deadline
        time.sleep(0.05)

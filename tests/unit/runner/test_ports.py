"""Ports of a network of its own, as a container's is, on this machine's loopback address."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.job import Port
from dstack_cloud.runner_bootstrap.payload.ports import Forwards, check_free, must_be_published

APP = 8000
GREETER = f"""
import socket, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", {APP}))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b"hello " + client.recv(100))
    client.close()
"""

enters = pytest.mark.skipif(
    must_be_published() or not shutil.which("unshare") or not shutil.which("ip"),
    reason="needs root on Linux, unshare and ip",
)


@pytest.fixture
def inside() -> Iterator[int]:
    """A process that greets on 127.0.0.1 of its own network."""
    command = ["unshare", "--net", sys.executable, "-c", GREETER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "MARK": "this one"})
    assert process.stdout and process.stdout.readline() == b"ready\n"
    yield process.pid
    process.kill()
    process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"you")
        return client.makefile("rb").read()


@enters
def test_a_program_on_its_own_loopback_is_reached(inside: int) -> None:
    port = free_port()
    forwards = Forwards([Port(APP, port)])
    forwards.lead(inside, "", "MARK=this one")
    assert [ask(port) for _ in range(5)] == [b"hello you"] * 5
    forwards.close()


@enters
def test_who_is_early_waits(inside: int) -> None:
    port = free_port()
    forwards = Forwards([Port(APP, port)])
    with socket.create_connection(("127.0.0.1", port), 30) as early:
        early.sendall(b"early")
        forwards.lead(inside, "", "MARK=this one")
        assert early.recv(100) == b"hello early"
    forwards.close()


@enters
def test_a_process_without_the_mark_is_not_entered(inside: int) -> None:
    port = free_port()
    forwards = Forwards([Port(APP, port)])
    forwards.lead(inside, "", "MARK=another one")
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        assert client.recv(1) == b""
    forwards.close()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for take in (Forwards, check_free):
            with pytest.raises(Failure, match=f"port {port} is taken where the job runs: free it") as failure:
                take([Port(APP, port)])
            assert failure.value.reason == "start"


def test_closed_it_gives_the_port_back() -> None:
    port = free_port()
    Forwards([Port(APP, port)]).close()
    check_free([Port(APP, port)])

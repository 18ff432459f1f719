from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.tunnel import LOOPBACK, Opener, Probe, Tunnel, to_this_computer
from tests.unit.ssh.sshd import free_port
from tests.unit.ssh.web import BODY, fetch


def test_many_connections_at_once(connection: Connection, page: int) -> None:
    tunnel = connection.forward(0, "127.0.0.1", page)
    with ThreadPoolExecutor(8) as threads:
        assert all(body == BODY for body in threads.map(fetch, [tunnel.port] * 24))
    tunnel.close()


def test_the_port_that_was_asked_for_or_the_next_free_one(connection: Connection, page: int) -> None:
    wanted = free_port()
    first = connection.forward(wanted, "127.0.0.1", page)
    second = connection.forward(wanted, "127.0.0.1", page)
    assert first.port == wanted
    assert second.port > wanted
    assert fetch(second.port) == BODY
    first.close()
    second.close()


def test_nothing_behind_it_ends_the_connection_and_not_the_tunnel(connection: Connection, page: int) -> None:
    tunnel = connection.forward(0, "127.0.0.1", free_port())
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", tunnel.port), 30) as client:
            assert client.recv(1) == b""
    tunnel.close()


def test_closed_it_gives_the_port_back(connection: Connection, page: int) -> None:
    tunnel = connection.forward(0, "127.0.0.1", page)
    waiting = socket.create_connection(("127.0.0.1", tunnel.port), 30)
    waiting.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert waiting.recv(8) == b"HTTP/1.0"
    tunnel.close()
    while waiting.recv(1 << 20):
        pass
    with pytest.raises(urllib.error.URLError):
        fetch(tunnel.port)
    waiting.close()


def test_to_another_port_of_this_computer(page: int) -> None:
    tunnel = Tunnel(0, to_this_computer(page))
    with ThreadPoolExecutor(8) as threads:
        assert all(body == BODY for body in threads.map(fetch, [tunnel.port] * 24))
    tunnel.close()


def answers(open_stream: Opener) -> bool:
    return Probe(open_stream).answers()


def test_a_program_that_waits_for_a_request_answers(connection: Connection, page: int) -> None:
    assert answers(to_this_computer(page))
    assert answers(lambda peer: connection.direct((LOOPBACK, page), peer))


def test_a_tunnel_to_nothing_does_not_answer(connection: Connection) -> None:
    nothing = free_port()
    tunnel = Tunnel(0, to_this_computer(nothing))
    assert not answers(to_this_computer(tunnel.port))
    assert not answers(lambda peer: connection.direct((LOOPBACK, tunnel.port), peer))
    assert not answers(lambda peer: connection.direct((LOOPBACK, nothing), peer))
    tunnel.close()


def test_what_is_slow_to_turn_away_is_not_taken_for_a_program(page: int) -> None:
    took = iter([0.3, 0.9])

    def slow(peer: tuple[str, int]) -> socket.socket:
        seconds = next(took, None)
        if seconds is None:
            return to_this_computer(page)(peer)
        ours, theirs = socket.socketpair()
        threading.Timer(seconds, theirs.close).start()
        return ours

    probe = Probe(slow)
    assert [probe.answers() for _ in range(3)] == [False, False, True]

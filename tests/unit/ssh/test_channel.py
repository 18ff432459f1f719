from __future__ import annotations

import http.client
import socket

import pytest

from dstack_cloud.ssh.connection import Connection

ANSWER = "read line; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nyou said: %s' \"$line\"; head -c 300000 /dev/zero"


def test_http_client_speaks_over_it(connection: Connection) -> None:
    link = http.client.HTTPConnection("machine")
    link.sock = connection.dial(ANSWER)  # type: ignore[assignment]  # what a socket does is enough
    link.request("GET", "/v1/state")
    answer = link.getresponse()
    link.close()
    body = answer.read()
    assert body.startswith(b"you said: GET /v1/state HTTP/1.1")
    assert len(body) > 300_000


def test_each_end_can_be_ended_alone(connection: Connection) -> None:
    with connection.dial("wc -c") as stream:
        stream.sendall(b"12345")
        stream.shutdown(socket.SHUT_WR)
        assert stream.makefile("rb").read().strip() == b"5"


def test_a_read_that_takes_too_long_is_over(connection: Connection) -> None:
    with connection.dial("sleep 600") as stream, pytest.raises(TimeoutError):
        stream.settimeout(0.1)
        stream.recv(1)


def test_what_the_command_complains_about_can_be_read(connection: Connection) -> None:
    with connection.dial("echo no socket >&2; exit 1") as stream:
        assert stream.recv(1) == b""
        assert stream.complaint() == "no socket"


def test_a_file_of_it_outlives_it(connection: Connection) -> None:
    stream = connection.dial("echo one; echo two")
    file = stream.makefile("rb")
    stream.close()
    assert file.readline() == b"one\n"
    assert file.read() == b"two\n"

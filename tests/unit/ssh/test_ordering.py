"""The last that is sent through a channel is its close, whoever had decided to send something before."""

from __future__ import annotations

import threading
from typing import Any, cast

import paramiko
from paramiko.common import cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_EOF

from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.ordering import Outbox


class Wire:
    """Stands where a transport is, and keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.channel_timeout = 5.0

    def _send_user_message(self, message: paramiko.Message) -> None:
        self.sent.append(message.asbytes()[:1])


def message(kind: bytes) -> paramiko.Message:
    made = paramiko.Message()
    made.add_byte(kind)
    made.add_int(1)
    return made


def outbox(wire: Wire, **options: Any) -> Any:
    return Outbox(cast(paramiko.Transport, wire), **options)


def test_what_comes_after_the_close_is_dropped() -> None:
    wire = Wire()
    box = outbox(wire)
    for kind in (cMSG_CHANNEL_EOF, cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_EOF, cMSG_CHANNEL_CLOSE):
        box._send_user_message(message(kind))
    assert wire.sent == [cMSG_CHANNEL_EOF, cMSG_CHANNEL_CLOSE]


def test_a_channel_that_was_closed_when_it_was_wrapped_sends_nothing() -> None:
    wire = Wire()
    outbox(wire, closed=True)._send_user_message(message(cMSG_CHANNEL_EOF))
    assert wire.sent == []


def test_the_rest_is_the_transports() -> None:
    assert outbox(Wire()).channel_timeout == 5.0


def test_an_end_that_was_decided_on_before_the_close_spoils_no_connection(connection: Connection) -> None:
    channel = connection.dial("true")._channel
    with channel.lock:
        late = channel._send_eof()  # type: ignore[attr-defined]  # as another thread would in the middle of `shutdown`
    until_closed = threading.Event()
    while not channel.closed:
        until_closed.wait(0.01)
    channel.transport._send_user_message(late)  # type: ignore[attr-defined]
    assert connection.run("echo still here").out == b"still here\n"

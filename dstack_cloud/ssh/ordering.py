"""What is sent through a channel ends with the channel's close.

paramiko decides under a channel's lock what to send, and sends it after. Where the other side closes just then, paramiko's own
thread may send the answering close before what another thread had decided to send, and OpenSSH ends the whole connection over a
message to a channel that it has freed ("ieof packet referred to nonexistent channel").
"""

from __future__ import annotations

import threading
from typing import cast

import paramiko

CLOSE = paramiko.common.cMSG_CHANNEL_CLOSE


class OrderedTransport(paramiko.Transport):
    """A transport of which no channel sends anything after its close."""

    def open_channel(self, *args: object, **options: object) -> paramiko.Channel:
        channel = super().open_channel(*args, **options)  # type: ignore[arg-type]  # handed on as they are
        with channel.lock:
            channel.transport = cast(paramiko.Transport, Outbox(self, closed=channel.closed))
        return channel


class Outbox:
    """A channel's view of its transport."""

    def __init__(self, transport: paramiko.Transport, *, closed: bool = False) -> None:
        self._transport = transport
        self._closed = closed
        self._turn = threading.Lock()

    def _send_user_message(self, message: paramiko.Message) -> None:
        """Drops what comes after the close: nobody is left there who would read it."""
        with self._turn:
            if self._closed:
                return
            self._closed = message.asbytes()[:1] == CLOSE
            self._transport._send_user_message(message)  # type: ignore[attr-defined]  # its stubs leave it out

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

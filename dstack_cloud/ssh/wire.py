"""The socket below an SSH connection: read in large pieces, because a system call a packet costs more than its decryption."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

READ_BYTES = 1 << 18
# How long sent bytes may stay unacknowledged before the kernel gives the connection up
DEAD_MILLISECONDS = 20_000


class Wire:
    """What paramiko asks of a socket, around a connected one or a channel through another machine. One thread reads.

    `unheard` counts what was asked of the other side since it last said anything.
    """

    def __init__(self, stream: socket.socket | paramiko.Channel) -> None:
        self._stream = stream
        self._buffer = b""
        self._position = 0
        self._closed = False  # paramiko looks at it, as at a socket's own
        self.unheard = 0
        self.send = stream.send
        self.settimeout = stream.settimeout
        self.getpeername = stream.getpeername

    def recv(self, size: int) -> bytes:
        start = self._position
        if start == len(self._buffer):
            self._buffer = self._stream.recv(READ_BYTES)
            self.unheard = 0
            start = 0
        piece = self._buffer[start : start + size]
        self._position = start + len(piece)
        return piece

    def close(self) -> None:
        self._closed = True
        self._stream.close()


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Raises OSError. `timeout` is seconds."""
    sock = socket.create_connection((host, port), timeout)
    # without it every small packet waits for the acknowledgement of the one before: 40 ms a connection in a tunnel
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MILLISECONDS)
    return sock

"""A port of this computer that leads to one on a machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import paramiko

from dstack_cloud.errors import SshError

LOOPBACK = "127.0.0.1"
# How many ports after the one asked for are tried
TRIES = 100
CHUNK = 1 << 16
BACKLOG = 128

Opener = Callable[[tuple[str, int]], paramiko.Channel]


class Tunnel:
    """Listens on 127.0.0.1:`port` and joins each connection to a channel of its own that `open_channel` gives.

    A connection whose channel can't be opened is closed at once; the tunnel goes on.
    """

    def __init__(self, local_port: int, open_channel: Opener) -> None:
        """Raises SshError where none of the ports is free."""
        self._open_channel = open_channel
        self._listener = _listen(local_port)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[_Pair] = set()
        self._thread = threading.Thread(target=self._serve, name=f"tunnel-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening and breaks what runs through it."""
        # wakes the thread that waits in accept; closing alone doesn't
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            pairs = list(self._open)
        for pair in pairs:
            pair.close()

    def _serve(self) -> None:
        while True:
            try:
                client, peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(client, peer), daemon=True).start()

    def _join(self, client: socket.socket, peer: tuple[str, int]) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            channel = self._open_channel(peer)
        except SshError:
            client.close()
            return
        pair = _Pair(client, channel)
        with self._lock:
            self._open.add(pair)
        pair.copy()
        with self._lock:
            self._open.discard(pair)


class _Pair:
    def __init__(self, client: socket.socket, channel: paramiko.Channel) -> None:
        self._client = client
        self._channel = channel

    def copy(self) -> None:
        """Both ways, until both sides have ended. Each side's end is passed on alone: a client may still be reading."""
        outward = threading.Thread(target=self._outward, daemon=True)
        outward.start()
        try:
            while chunk := self._channel.recv(CHUNK):
                self._client.sendall(chunk)
            self._client.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        outward.join()
        self.close()

    def _outward(self) -> None:
        try:
            while chunk := self._client.recv(CHUNK):
                self._channel.sendall(chunk)
            self._channel.shutdown_write()
        except OSError:
            self.close()

    def close(self) -> None:
        self._channel.close()
        try:
            self._client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._client.close()


def _listen(wanted: int) -> socket.socket:
    for port in [wanted, *range(wanted + 1, min(wanted + TRIES, 65536))] if wanted else [0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            continue
        return listener
    raise SshError(f"no port from {wanted} on is free on this computer", "ask for another local port")

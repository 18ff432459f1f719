"""A port of this computer that leads to one elsewhere: on a machine, or another one here. Imports no SSH."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from dstack_cloud.errors import SshError

LOOPBACK = "127.0.0.1"
# How many ports from the one asked for on are tried
TRIES = 100
CHUNK = 1 << 20
BACKLOG = 128

CONNECT_SECONDS = 10.0
# a program that waits for a request is silent for at least so long
HOLD_SECONDS = 0.5
# and for so many times as long as it took to be turned away over the same way, where nothing listened
HOLD_FACTOR = 4.0


class Stream(Protocol):
    """Bytes both ways: a connected socket is one, and so is an SSH channel."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...

    def settimeout(self, seconds: float | None, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


# is told who connects; raises SshError or OSError where nothing answers
Opener = Callable[[tuple[str, int]], Stream]


class Tunnel:
    """Listens on 127.0.0.1:`port` and joins each connection to a stream of its own that `open_stream` gives.

    A connection whose stream can't be opened is closed at once; the tunnel goes on.
    """

    def __init__(self, local_port: int, open_stream: Opener) -> None:
        """Listens on the next free port where that one is taken, on any for 0. Raises SshError where none is free."""
        self._open_stream = open_stream
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
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = self._open_stream(peer)
        except (SshError, OSError):
            client.close()
            return
        pair = _Pair(client, stream)
        with self._lock:
            self._open.add(pair)
        pair.copy()
        with self._lock:
            self._open.discard(pair)


class _Pair:
    def __init__(self, client: Stream, stream: Stream) -> None:
        self._client = client
        self._stream = stream

    def copy(self) -> None:
        """Both ways, until both sides have ended. Each side's end is passed on alone: a client may still be reading."""
        outward = threading.Thread(target=self._pass_on, args=(self._client, self._stream), daemon=True)
        outward.start()
        self._pass_on(self._stream, self._client)
        outward.join()
        self.close()

    def _pass_on(self, source: Stream, target: Stream) -> None:
        try:
            while chunk := source.recv(CHUNK):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except (OSError, EOFError):  # EOFError: what paramiko says when the connection broke off
            self.close()

    def close(self) -> None:
        for side in (self._stream, self._client):
            with contextlib.suppress(OSError, EOFError):
                # wakes a thread that waits in recv; closing alone doesn't
                side.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError, EOFError):
                side.close()


def to_this_computer(port: int) -> Opener:
    """Streams to 127.0.0.1:`port` of this computer."""

    def connect(_peer: tuple[str, int]) -> socket.socket:
        stream = socket.create_connection((LOOPBACK, port), CONNECT_SECONDS)
        stream.settimeout(None)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    return connect


class Probe:
    """Whether a program is behind it: one that waits for a request, or speaks first.

    That it can be opened says little: an engine's proxy, and a client of SSH, accept, and close again where nothing listens.
    How long that takes on a busy machine is learned from the times before.
    """

    def __init__(self, open_stream: Opener) -> None:
        self._open_stream = open_stream
        self._hold = 2 * HOLD_SECONDS

    def answers(self) -> bool:
        """Takes half a second, or longer on a slow way, where it is true."""
        began = time.monotonic()
        held = self._holds()
        if not held:
            self._hold = max(HOLD_SECONDS, HOLD_FACTOR * (time.monotonic() - began))
        return held

    def _holds(self) -> bool:
        try:
            stream = self._open_stream((LOOPBACK, 0))
        except (SshError, OSError):
            return False
        try:
            stream.settimeout(self._hold)
            return bool(stream.recv(1))
        except TimeoutError:
            return True
        except OSError:
            return False
        finally:
            stream.close()


def free_ports(wanted: int) -> Iterator[int]:
    """Ports of this computer that are free at the moment: the wanted one or those above it, at last any; any for 0."""
    # at last any port: the wanted one may be among those that only root may take
    for port in [*range(wanted, min(wanted + TRIES, 65536)), 0] if wanted else [0]:
        try:
            with _bound(port) as probe:
                found = int(probe.getsockname()[1])
        except OSError:
            continue
        yield found


def _bound(port: int) -> socket.socket:
    """Raises OSError where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen(wanted: int) -> socket.socket:
    for port in free_ports(wanted):
        with contextlib.suppress(OSError):  # somebody was faster
            return _bound(port)
    raise SshError("no port is free on this computer", "close programs that hold many connections")

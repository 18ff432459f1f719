"""A container's ports on this machine's loopback address.

Root on Linux makes each connection from within the container's network, so that a program that listens on 127.0.0.1 in there is
reached too. Elsewhere the engine publishes the ports, and the program has to listen on 0.0.0.0.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.job import Port

LOOPBACK = "127.0.0.1"
# where a program may listen: a name like `localhost` can mean either
INSIDE = (LOOPBACK, "::1")
CONNECT_SECONDS = 10.0
READ_SIZE = 1 << 16
CLONE_NEWNET = 0x40000000  # setns(2)


def must_be_published() -> bool:
    """Whether only the engine can lead into a container's network."""
    return sys.platform != "linux" or os.geteuid() != 0


def check_free(ports: Iterable[Port]) -> None:
    """Raises Failure for a port that something else has: the engine would name it less clearly."""
    for port in ports:
        _listen(port.local).close()


class Forwards:
    """Listens from the start, so that nobody else takes the ports; what connects before `lead` waits for it."""

    def __init__(self, ports: Sequence[Port]) -> None:
        """Raises Failure for a port that something else has."""
        self._led = threading.Event()
        self._pid, self._address, self._mark = 0, "", b""
        self._lock = threading.Lock()
        self._namespace = -1  # a descriptor, once it has been entered
        self._closed = False
        self._listeners: list[socket.socket] = []
        try:
            for port in ports:
                self._listeners.append(_listen(port.local))
        except Failure:
            self.close()
            raise
        for listener, port in zip(self._listeners, ports):  # noqa: B905 - as long as each other
            threading.Thread(target=self._serve, args=(listener, port.app), daemon=True).start()

    def lead(self, pid: int, address: str, mark: str) -> None:
        """To the network of process `pid`, if `mark` is in its environment (an engine may count processes differently); else
        to the container's `address`."""
        self._pid, self._address, self._mark = pid, address, mark.encode()
        self._led.set()

    def close(self) -> None:
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes its thread
            except OSError:
                pass
            listener.close()
        with self._lock:
            self._closed = True
            if self._namespace >= 0:
                os.close(self._namespace)
        self._led.set()

    def _serve(self, listener: socket.socket, app: int) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(client, app), daemon=True).start()

    def _join(self, client: socket.socket, app: int) -> None:
        self._led.wait()
        try:
            inside = self._dial(app)
        except OSError:
            client.close()
            return
        outward = threading.Thread(target=_pass_on, args=(client, inside), daemon=True)
        outward.start()
        _pass_on(inside, client)
        outward.join()
        client.close()
        inside.close()

    def _dial(self, app: int) -> socket.socket:
        """In a thread that lives for this connection only: it stays in the container's network."""
        hosts = (*(INSIDE if self._enter() else ()), *([self._address] if self._address else []))
        refused = OSError(errno.ECONNREFUSED, "nothing listens")
        for host in hosts:
            try:
                made = socket.create_connection((host, app), CONNECT_SECONDS)
            except OSError as error:
                refused = error
                continue
            made.settimeout(None)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        raise refused

    def _enter(self) -> bool:
        """Takes this thread into the container's network. Looked up late: a process has its environment only once it has become
        the program it was started for."""
        with self._lock:
            if self._namespace < 0 and not self._closed:
                self._namespace = _network_of(self._pid, self._mark)
            if self._namespace < 0 or self._closed:
                return False
            _set_network(self._namespace)
            return True


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
        text = f'port {port} {why} where the job runs: free it, or name another as in `ports: ["APP:LOCAL"]`'
        raise Failure("start", text) from error
    return listener


def _network_of(pid: int, mark: bytes) -> int:
    """A descriptor of the process's network; -1 where there is no process with that mark."""
    try:
        ours = mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY) if ours else -1
    except OSError:
        return -1  # it has ended


def _set_network(namespace: int) -> None:
    """Of this thread alone (os.setns came with Python 3.12)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the container's network can't be entered")


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """One way, to its end; the other way may go on."""
    try:
        while chunk := source.recv(READ_SIZE):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

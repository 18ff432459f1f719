"""Connections that are kept and shared: one for each machine."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from dstack_cloud.ssh.endpoint import Trust, parse_endpoint

if TYPE_CHECKING:
    from dstack_cloud.ssh.connection import Connection

_Key = tuple[str, Trust]


class Connections:
    """Thread-safe. A connection that died is replaced at the next `get`; `timeout` is seconds for each step of connecting.

    The keys are part of what is looked up: a new machine may get the address of one that is gone.
    """

    def __init__(self, *, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connecting: defaultdict[_Key, threading.Lock] = defaultdict(threading.Lock)
        self._kept: dict[_Key, Connection] = {}

    def get(self, endpoint: str, trust: Trust) -> Connection:
        """A living connection to `ssh:USER@HOST:PORT`. Raises HostKeyMismatch, SshError."""
        # paramiko takes a tenth of a second to load: who never needs a machine never pays it
        from dstack_cloud.ssh.connection import Connection

        key = (endpoint, trust)
        with self._lock:
            connecting = self._connecting[key]
        # one thread connects while others that want the same machine wait for it
        with connecting:
            with self._lock:
                kept = self._kept.get(key)
            if kept is not None and kept.alive:
                return kept
            fresh = Connection(parse_endpoint(endpoint), trust, timeout=self._timeout)
            with self._lock:
                self._kept[key] = fresh
            if kept is not None:
                kept.close()
            return fresh

    def retrust(self, endpoint: str, before: Trust, after: Trust) -> None:
        """What is kept for the one is from now on found under the other: the machine got another host key."""
        with self._lock:
            kept = self._kept.pop((endpoint, before), None)
            if kept is not None:
                self._kept[(endpoint, after)] = kept

    def forget(self, endpoint: str) -> None:
        """Closes what is kept for a machine that is gone."""
        with self._lock:
            keys = [key for key in self._kept if key[0] == endpoint]
            gone = [self._kept.pop(key) for key in keys]
            for key in keys:
                self._connecting.pop(key, None)
        for connection in gone:
            connection.close()

    def close(self) -> None:
        with self._lock:
            kept, self._kept = list(self._kept.values()), {}
        for connection in kept:
            connection.close()

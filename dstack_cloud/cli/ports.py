"""What an attached run's jobs serve, on localhost. Each job's ports are opened in a thread of its own, beside its log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dstack_cloud.errors import DstackError, ServerError, SshError
from dstack_cloud.ssh import tunnel
from dstack_cloud.ssh.endpoint import Trust
from dstack_cloud.ssh.pool import Connections

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import AccessPort, AccessView

    Access = Callable[[str], list[AccessView]]

# between two looks for a program that isn't there yet; it grows, because a model may take minutes to load
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # seconds


class Ports:
    """`access(job id)` says how to reach a job; `tell` is called, from other threads, once for each port that can be used."""

    def __init__(self, access: Access, tell: Callable[[str], None]) -> None:
        self._access = access
        self._tell = tell
        self._jobs: dict[str, _JobPorts] = {}

    def open(self, job: str) -> None:
        """Returns at once; again is no error."""
        if job not in self._jobs:
            self._jobs[job] = _JobPorts(job, self._access, self._tell)
            self._jobs[job].start()

    def close(self, job: str | None = None) -> None:
        """Those of one job, which has ended, or all."""
        for name, ports in self._jobs.items():
            if job in (None, name):
                ports.close()


class _Way(NamedTuple):
    """The program's own port, the one asked for here, the one there is, and what opens a stream to the program."""

    app: int
    wanted: int
    here: int
    open_stream: tunnel.Opener

    def __str__(self) -> str:
        taken = f" ({self.wanted} is taken here)" if self.here != self.wanted else ""
        return f"port {self.app} at http://localhost:{self.here}{taken}"


class _JobPorts(threading.Thread):
    def __init__(self, job: str, access: Access, tell: Callable[[str], None]) -> None:
        super().__init__(name=f"ports-{job}", daemon=True)
        self._job = job
        self._access = access
        self._tell = tell
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._tunnels: list[tunnel.Tunnel] = []
        self._connections = Connections()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
        for opened in self._tunnels:
            opened.close()
        self._connections.close()

    def run(self) -> None:
        try:
            ways = [self._way(view, port) for view in self._views() for port in view["ports"]]
            self._tell_of(ways)
        except DstackError as error:
            if not self._closed.is_set():
                self._tell(f"warning: the ports of {self._job} can't be opened: {error.summary}")

    def _views(self) -> list[AccessView]:
        """Empty once the job has ended. A server that is away is waited for: the run is followed across its restarts."""
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                if views := self._access(self._job):
                    return views
            except ServerError:
                pass
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return []

    def _way(self, view: AccessView, port: AccessPort) -> _Way:
        """Raises HostKeyMismatch, and SshError where no port is free here."""
        if not view["endpoint"] and port["target"] == port["local"]:
            return _Way(port["app"], port["local"], port["local"], tunnel.to_this_computer(port["target"]))
        opener = self._to_machine(view, port) if view["endpoint"] else tunnel.to_this_computer(port["target"])
        with self._lock:
            if self._closed.is_set():
                return _Way(port["app"], port["local"], port["local"], opener)
            opened = tunnel.Tunnel(port["local"], opener)
            self._tunnels.append(opened)
        return _Way(port["app"], port["local"], opened.port, opener)

    def _to_machine(self, view: AccessView, port: AccessPort) -> tunnel.Opener:
        """One connection carries all ports; one that broke off is replaced when it is needed next."""
        trust = Trust(view["client_key"], tuple(view["host_keys"]))
        target = (tunnel.LOOPBACK, port["target"])
        self._connect(view["endpoint"], trust)
        return lambda peer: self._connections.get(view["endpoint"], trust).direct(target, peer)

    def _connect(self, endpoint: str, trust: Trust) -> None:
        """Tells when it doesn't succeed at once, and goes on trying. Raises HostKeyMismatch."""
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                self._connections.get(endpoint, trust)
                return
            except SshError as error:
                if not error.retryable:
                    raise
                if pause == _FIRST_PAUSE:
                    self._tell(f"warning: the ports of {self._job} have to wait: {error.summary}")
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _tell_of(self, ways: list[_Way]) -> None:
        """Each when its program answers."""
        pause = _FIRST_PAUSE
        while ways and not self._closed.is_set():
            usable = [way for way in ways if tunnel.answers(way.open_stream)]
            for way in usable:
                if not self._closed.is_set():
                    self._tell(str(way))
            ways = [way for way in ways if way not in usable]
            self._closed.wait(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

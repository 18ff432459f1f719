"""What an attached run's jobs serve, on localhost. Each job's ports are opened in a thread of its own, beside its log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from dstack_cloud.api.locations import state_folder
from dstack_cloud.client.ways import Ways, trust_in
from dstack_cloud.errors import DstackError, HostKeyMismatch, ServerError, SshError
from dstack_cloud.ssh import openssh, tunnel
from dstack_cloud.ssh.endpoint import Trust, parse_endpoint
from dstack_cloud.ssh.pool import Connections

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import AccessPort, AccessView

    Access = Callable[[str], list[AccessView]]

# between two looks for a program that isn't there yet; it grows, because a model may take minutes to load
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # seconds

_Result = TypeVar("_Result")


class Ports:
    """`access(job id)` says how to reach a job; `tell` is called, from other threads, once for each port that can be used.

    As long as it is open, a job's machine has an entry in the SSH configuration of `home` (DSTACK_HOME by default).
    """

    def __init__(self, access: Access, tell: Callable[[str], None]) -> None:
        self._access = access
        self._tell = tell
        self._ways = Ways(state_folder())
        self._jobs: dict[str, _JobPorts] = {}
        self._attempts: dict[str, int] = {}

    def open(self, job: str, attempt: int) -> None:
        """Returns at once; again is no error. What a job goes on with on another machine is served where it was before."""
        before = self._jobs.get(job)
        if before is None or self._attempts[job] != attempt:
            self.close(job)
            self._jobs[job] = _JobPorts(job, self._access, self._tell, self._ways, before.here if before else {})
            self._attempts[job] = attempt
            self._jobs[job].start()

    def close(self, job: str | None = None) -> None:
        """Those of one job, which has ended, or all."""
        for name, ports in self._jobs.items():
            if job in (None, name):
                ports.close()
        if job is None:
            self._ways.close()


class _Served(Protocol):
    port: int

    def close(self) -> None: ...


class _Way(NamedTuple):
    """The program's own port, what of its address stands behind the port, the port asked for here, the one there is, and what opens
    a stream to the program."""

    app: int
    page: str
    wanted: int
    here: int
    open_stream: tunnel.Opener

    def __str__(self) -> str:
        taken = f" ({self.wanted} is taken here)" if self.here != self.wanted else ""
        return f"port {self.app} at http://localhost:{self.here}{self.page}{taken}"


class _Closed(Exception):
    """The job has ended meanwhile."""


class _JobPorts(threading.Thread):
    """`here`: by the program's own port, the one of this computer that has served it."""

    def __init__(
        self, job: str, access: Access, tell: Callable[[str], None], ways: Ways, here: Mapping[int, int]
    ) -> None:
        super().__init__(name=f"ports-{job}", daemon=True)
        self.here = dict(here)
        self._job = job
        self._access = access
        self._tell = tell
        self._ways = ways
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._tunnels: list[_Served] = []
        self._connections = Connections()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            self._ways.remove(self._job)
        for opened in self._tunnels:
            opened.close()
        self._connections.close()

    def run(self) -> None:
        try:
            views = self._views()
            for view in views:
                self._enter(view)
            self._tell_of([self._way(view, port) for view in views for port in view["ports"]])
        except _Closed:
            pass
        except (DstackError, OSError) as error:
            if not self._closed.is_set():
                text = error.summary if isinstance(error, DstackError) else str(error)
                self._tell(f"warning: the ports of {self._job} can't be opened: {text}")

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

    def _enter(self, view: AccessView) -> None:
        """The machine's entry for `ssh RUN`, where there is a machine."""
        if not view["endpoint"] or openssh.program() is None:
            return
        trust = trust_in(view)
        if not openssh.usable(trust):
            trust = self._patiently(lambda: self._connections.get(view["endpoint"], trust).shown)
        with self._lock:
            if self._closed.is_set():
                return
            self._ways.add([self._job, self._job.partition(".")[0]], parse_endpoint(view["endpoint"]), trust)
            if sys.stderr.isatty() and (hint := self._ways.hint()):
                self._tell(hint)

    def _way(self, view: AccessView, port: AccessPort) -> _Way:
        """Raises HostKeyMismatch, and SshError where no port is free here."""
        app, page, wanted, target = port["app"], port["page"], port["local"], port["target"]
        first = self.here.get(app, wanted)
        if view["endpoint"]:
            served = self._patiently(lambda: self._to_machine(view["endpoint"], trust_in(view), first, target))
        elif target == wanted:
            return _Way(app, page, wanted, wanted, tunnel.to_this_computer(target))
        else:
            served = tunnel.Tunnel(first, tunnel.to_this_computer(target))
        self.here[app] = served.port
        with self._lock:
            closed = self._closed.is_set()
            self._tunnels.append(served)
        if closed:
            served.close()
            raise _Closed
        return _Way(app, page, wanted, served.port, tunnel.to_this_computer(served.port))

    def _to_machine(self, endpoint: str, trust: Trust, wanted: int, target: int) -> _Served:
        """Carried by the OpenSSH client where that can be had, else by paramiko. Raises SshError."""
        if openssh.program() and openssh.usable(trust):
            from dstack_cloud.ssh.openssh_tunnel import OpenSshTunnel

            try:
                return OpenSshTunnel(wanted, parse_endpoint(endpoint), trust, target, self._ways.open_folder())
            except HostKeyMismatch:
                raise
            except (SshError, OSError):
                pass  # paramiko tells what is wrong, or does without
        self._connections.get(endpoint, trust)
        place = (tunnel.LOOPBACK, target)
        # one connection carries all ports; one that broke off is replaced when it is needed next
        return tunnel.Tunnel(wanted, lambda peer: self._connections.get(endpoint, trust).direct(place, peer))

    def _patiently(self, connect: Callable[[], _Result]) -> _Result:
        """Tells when it doesn't succeed at once, and goes on trying. Raises HostKeyMismatch, and other SshErrors that stay."""
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                return connect()
            except SshError as error:
                if not error.retryable:
                    raise
                if pause == _FIRST_PAUSE:
                    self._tell(f"warning: the ports of {self._job} have to wait: {error.summary}")
            self._closed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise _Closed

    def _tell_of(self, ways: list[_Way]) -> None:
        """Each when its program answers."""
        pause = _FIRST_PAUSE
        probes = {way: tunnel.Probe(way.open_stream) for way in ways}
        while probes and not self._closed.is_set():
            for way in [way for way, probe in probes.items() if probe.answers()]:
                del probes[way]
                if not self._closed.is_set():
                    self._tell(str(way))
            self._closed.wait(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

"""Ways to runners: a Unix socket on this computer, an SSH channel everywhere else. The protocol is the same."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend, KeptMachines
from dstack_cloud.courier import shipping
from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.courier.wheels import Wheels
from dstack_cloud.domain.runs import Instance
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.runner_bootstrap import install
from dstack_cloud.runner_bootstrap.link import RunnerLink, SocketLike
from dstack_cloud.runner_bootstrap.placement import MACHINE, Placement, lease
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh.endpoint import Trust, parse_endpoint
from dstack_cloud.ssh.pool import Connections

if TYPE_CHECKING:
    from dstack_cloud.ssh.connection import Completed, Connection

log = logging.getLogger(__name__)

# a runner on this computer listens well within this many seconds of its start
SOCKET_SECONDS = 3.0
SOCKET_LOOK = 0.005
# how long a machine may live on which no runner was ever installed
DEAD_MAN_SECONDS = 15 * 60
# packages that a machine lacks are fetched meanwhile, not always with a word
INSTALL_SECONDS = 240.0


class RunnerLinks:
    """Satisfies `world.Links`. Connections are kept and shared by all who talk to the same machine."""

    def __init__(
        self,
        keys: KeyStore,
        backend_of: Callable[[Instance], Backend | None] | None = None,
        wheels: Wheels | None = None,
    ) -> None:
        """Without `backend_of`, or where that knows none, every machine is one that was made for its job."""
        self._keys = keys
        self._backend_of = backend_of
        self._wheels = wheels or Wheels()
        self._connections = Connections()
        self._lock = threading.Lock()
        self._links: dict[str, RunnerLink] = {}

    def prepare(self, instance: Instance) -> str:
        if self._kept(instance) is not None:
            return ""
        keys = self._keys.make(instance.id)
        return user_data(
            host_private=keys.host.private,
            host_public=keys.host.public,
            client_public=keys.client.public,
            user=LOGIN_USER,
            dead_man_seconds=DEAD_MAN_SECONDS,
            ending=self._ending(instance),
        )

    def open(self, instance: Instance) -> RunnerLink:
        with self._lock:
            known = self._links.get(instance.id)
        if known is not None:
            return known
        kind, _, place = instance.endpoint.partition(":")
        link = self._open_unix(Path(place)) if kind == "unix" else self._open_ssh(instance)
        with self._lock:
            return self._links.setdefault(instance.id, link)

    def trust(self, instance: Instance) -> Trust:
        kept = self._kept(instance)
        if kept is not None:
            return kept.trust(instance.ref)
        try:
            keys = self._keys.load(instance.id)
        except FileNotFoundError as error:
            raise errors.RunnerUnreachable(f"the keys of {instance.id} are gone", "it is being removed") from error
        return Trust(keys.client.private, keys.host_keys)

    def forget(self, instance: Instance, *, keys: bool) -> None:
        with self._lock:
            link = self._links.pop(instance.id, None)
        if link is not None:
            link.close()
        if self._kept(instance) is None:
            # to a machine that stays, others may be connected
            self._connections.forget(instance.endpoint)
        if keys:
            self._keys.forget(instance.id)

    def sweep(self, alive: Callable[[], Collection[str]]) -> None:
        kept = self._keys.known()
        living = set(alive()) if kept else set()
        for instance_id in kept:
            if instance_id not in living:
                self._keys.forget(instance_id)

    def carrier_of(self, instance: Instance) -> Literal["", "machine", "server"]:
        return self._keys.carrier(instance.id)

    def send_courier(self, instance: Instance, errand: Errand, store: MachineStore | None) -> bool:
        there = store is not None and self._machine_carries(instance, errand, store)
        self._keys.mark_carrier(instance.id, "machine" if there else "server")
        return there

    def _machine_carries(self, instance: Instance, errand: Errand, store: MachineStore) -> bool:
        facts = self._keys.installed(instance.id) or {}
        again = self._keys.carrier(instance.id) == "machine"
        try:
            library = (
                b"" if again else self._wheels.library(str(facts.get("python", "")), str(facts.get("machine", "")))
            )
        except errors.NotFound as error:
            log.warning("the server carries for %s: %s", instance.id, error.summary)
            return False
        user = parse_endpoint(instance.endpoint).user
        done = self._run(instance, shipping.ship(errand, store, library, user=user, place=self._place(instance)))
        said = (done.out or done.err).decode(errors="replace").strip()
        if done.code == 0 and done.out.strip() == shipping.READY:
            return True
        if done.code or again:
            raise errors.RunnerUnreachable(f"the courier couldn't be brought to {instance.id}: {said}")
        log.warning("the server carries for %s, whose machine can't use the store: %s", instance.id, said)
        return False

    def _open_unix(self, path: Path) -> RunnerLink:
        deadline = time.monotonic() + SOCKET_SECONDS
        while True:
            try:
                dial_unix(path).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise errors.RunnerUnreachable(f"the runner doesn't answer on its socket: {error}") from error
                time.sleep(SOCKET_LOOK)
                continue
            return RunnerLink(lambda: dial_unix(path))

    def _open_ssh(self, instance: Instance) -> RunnerLink:
        if self._keys.installed(instance.id) is None:
            self._install(instance)
        command = install.connect_command(self._place(instance))
        return RunnerLink(lambda: self._connect(instance).dial(command))

    def _install(self, instance: Instance) -> None:
        """One command; it is over when the runner's socket can be connected to."""
        left = DEAD_MAN_SECONDS if instance.deadline is None else max(int(instance.deadline - time.time()), 60)
        step = install.install(
            seconds=left,
            user=parse_endpoint(instance.endpoint).user,
            host_key=self._next_host_key(instance),
            gpus=bool(instance.offer.machine.gpus),
            place=self._place(instance),
        )
        before = self.trust(instance)
        done = self._run(instance, step)
        if done.code:
            words = done.err.decode(errors="replace").strip() or f"exit code {done.code}"
            kind = errors.RunnerError if done.code == install.FINAL else errors.RunnerUnreachable
            raise kind(f"the runner couldn't be installed: {words.splitlines()[-1]}")
        self._keys.confirm_host_key(instance.id)
        # the connection goes on; the next one must see the new key
        self._connections.retrust(instance.endpoint, before, self.trust(instance))
        self._keys.mark_installed(instance.id, _facts(done.out))

    def _next_host_key(self, instance: Instance) -> install.HostKey | None:
        if self._kept(instance) is not None:
            return None
        pair = self._keys.load(instance.id).next_host
        return None if pair is None else install.HostKey(pair.private, pair.public)

    def _place(self, instance: Instance) -> Placement:
        """A kept machine's ref ends with the folder of the lease."""
        return MACHINE if self._kept(instance) is None else lease(instance.ref.partition(":")[2])

    def _ending(self, instance: Instance) -> str:
        backend = self._backend_of(instance) if self._backend_of else None
        return backend.capabilities.ending if backend else ""

    def _kept(self, instance: Instance) -> KeptMachines | None:
        backend = self._backend_of(instance) if self._backend_of else None
        if backend is None or backend.capabilities.ephemeral:
            return None
        return backend if isinstance(backend, KeptMachines) else None

    def _run(self, instance: Instance, step: install.Step) -> Completed:
        return self._connect(instance).run(step.command, step.stdin, timeout=INSTALL_SECONDS)

    def _connect(self, instance: Instance) -> Connection:
        return self._connections.get(instance.endpoint, self.trust(instance))


def _facts(out: bytes) -> dict[str, Any]:
    """The last line of what the installation printed. Raises RunnerError for something else."""
    try:
        return dict(json.loads(out.decode().strip().rpartition("\n")[2]))
    except ValueError as error:
        raise errors.RunnerError(f"the machine gives a strange answer: {out[-200:]!r}") from error


def dial_unix(path: Path) -> SocketLike:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection

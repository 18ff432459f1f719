"""Ways to runners: a Unix socket on this computer, an SSH channel everywhere else. The protocol is the same."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud import errors
from dstack_cloud.domain.runs import Instance
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.runner_bootstrap import install
from dstack_cloud.runner_bootstrap.bundle import bundle
from dstack_cloud.runner_bootstrap.link import RunnerLink, SocketLike
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh.endpoint import Trust, parse_endpoint
from dstack_cloud.ssh.pool import Connections

if TYPE_CHECKING:
    from dstack_cloud.ssh.connection import Connection

# a runner on this computer listens well within this many seconds of its start
SOCKET_SECONDS = 3.0
SOCKET_LOOK = 0.005
# how long a machine may live on which no runner was ever installed
DEAD_MAN_SECONDS = 15 * 60


class RunnerLinks:
    """Satisfies `world.Links`. Connections are kept and shared by all who talk to the same machine."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._connections = Connections()
        self._lock = threading.Lock()
        self._links: dict[str, RunnerLink] = {}

    def prepare(self, instance: Instance) -> str:
        keys = self._keys.make(instance.id)
        return user_data(
            host_private=keys.host.private,
            host_public=keys.host.public,
            client_public=keys.client.public,
            user=LOGIN_USER,
            dead_man_seconds=DEAD_MAN_SECONDS,
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
        try:
            keys = self._keys.load(instance.id)
        except FileNotFoundError as error:
            raise errors.RunnerUnreachable(f"the keys of {instance.id} are gone", "it is being removed") from error
        return Trust(keys.client.private, (keys.host.public,))

    def forget(self, instance: Instance, *, keys: bool) -> None:
        with self._lock:
            link = self._links.pop(instance.id, None)
        if link is not None:
            link.close()
        self._connections.forget(instance.endpoint)
        if keys:
            self._keys.forget(instance.id)

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
        connection = self._connect(instance)
        if not self._keys.installed(instance.id):
            self._install(instance, connection)
            self._keys.mark_installed(instance.id)
        return RunnerLink(lambda: self._connect(instance).dial(install.connect_command()))

    def _install(self, instance: Instance, connection: Connection) -> None:
        """One command; it is over when the runner's socket can be connected to."""
        left = DEAD_MAN_SECONDS if instance.deadline is None else max(int(instance.deadline - time.time()), 60)
        command = install.install_command(seconds=left, user=parse_endpoint(instance.endpoint).user)
        done = connection.run(command, bundle())
        if done.code:
            words = done.err.decode(errors="replace").strip() or f"exit code {done.code}"
            raise errors.RunnerUnreachable(f"the runner couldn't be installed: {words}")

    def _connect(self, instance: Instance) -> Connection:
        return self._connections.get(instance.endpoint, self.trust(instance))


def dial_unix(path: Path) -> SocketLike:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection

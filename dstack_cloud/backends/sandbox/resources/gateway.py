"""What this computer serves to its machines on their network's gateway: the mirror and the metadata service.

There while a machine is; after a restart of the server it comes back for the machines that outlived it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import metadata, mirror, network
from dstack_cloud.backends.sandbox.resources.network import Network
from dstack_cloud.errors import BackendError

log = logging.getLogger(__name__)


class Gateway:
    """`spool` is where images are kept for the machines. Thread-safe."""

    def __init__(self, client: DockerClient, config: SandboxConfig, spool: Path, find: metadata.Find) -> None:
        self._client = client
        self._config = config
        self._spool = spool
        self._find = find
        self._lock = threading.Lock()
        self._address = ""
        self._mirror: mirror.Mirror | None = None
        self._metadata: metadata.Metadata | None = None

    def open(self, installation: str) -> Network:
        """Makes the network where it isn't there, and serves on it."""
        with self._lock:
            made = network.ensure(self._client, self._config, installation)
            self._serve(made)
            return made

    def resume(self, installation: str) -> None:
        """In a thread of its own: an engine that is slow to answer must not keep a server from starting."""
        threading.Thread(target=self._resume, args=(installation,), name="sandbox-gateway-start", daemon=True).start()

    def leave(self, installation: str, machine_left: Callable[[], bool]) -> None:
        """Ends the network and what is served there, where no machine is left."""
        with self._lock:
            if not machine_left() and network.remove(self._client, installation):
                self._close()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _resume(self, installation: str) -> None:
        try:
            with self._lock:
                made = network.find(self._client, installation)
                if made is not None:
                    self._serve(made)
        except BackendError as wrong:
            log.info("the sandbox's services aren't started: %s", wrong.summary)

    def _serve(self, made: Network) -> None:
        if made.gateway != self._address:
            self._close()
        self._address = made.gateway
        self._mirror = self._mirror or mirror.start(self._client, made, self._config.mirror_port, self._spool)
        self._metadata = self._metadata or metadata.start(made, self._config.metadata_port, self._find)

    def _close(self) -> None:
        for service in (self._mirror, self._metadata):
            if service is not None:
                service.close()
        self._mirror = self._metadata = None

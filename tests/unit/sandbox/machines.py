"""A sandbox machine that has booted, as a server sees it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base import Launch
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.runner_bootstrap import install
from dstack_cloud.runner_bootstrap.bundle import bundle
from dstack_cloud.runner_bootstrap.link import RunnerLink
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust, parse_endpoint

BOOT_SECONDS = 120
JOB_SECONDS = 120
JOB: dict[str, Any] = {
    **{"run_name": "test-1", "job_name": "test-1.hello", "workflow": "hello", "mode": "docker", "entrypoint": None},
    **{"image": "dstack-cloud/job:py3.11", "env": {}, "registry_auth": None, "python": None, "working_dir": "."},
    **{"home_dir": None, "inputs": [], "artifacts": [], "caches": [], "ports": [], "gpus": 0, "memory_limit": None},
    **{"shm_size": None, "max_duration": None, "grace": 10, "ca_bundle": None},
}


@dataclass
class Machine:
    backend: SandboxBackend
    installation: str
    ref: str
    endpoint: Endpoint
    trust: Trust
    connection: Connection
    created_at: float

    def shell(self, command: str) -> str:
        """The output of a command as root. The machine has 60 seconds for each line of it."""
        done = self.connection.run(f"sudo -n sh -c '{command}'")
        assert done.code == 0, done
        return done.out.decode()

    def install(self, seconds: int = 3600) -> RunnerLink:
        done = self.connection.run(install.install_command(seconds=seconds), bundle())
        assert done.code == 0, done.err.decode()
        return RunnerLink(lambda: self.connection.dial(install.connect_command()))


def boot(home: Path, config: SandboxConfig | None = None, ending: str = "") -> Machine:
    created_at, installation = time.time(), f"test-{uuid.uuid4().hex[:12]}"
    backend = SandboxBackend(config or SandboxConfig(), home, installation)
    host, client = keys.generate(), keys.generate()
    document = user_data(
        host_private=host.private,
        host_public=host.public,
        client_public=client.public,
        user=LOGIN_USER,
        dead_man_seconds=900,
        ending=ending,
    )
    (offer,) = backend.offers(Requirements())
    ref = backend.create(Launch(key=uuid.uuid4().hex, offer=offer, user_data=document))
    endpoint = parse_endpoint(backend.inspect([ref])[ref].endpoint)
    trust = Trust(client.private, (host.public,))
    return Machine(backend, installation, ref, endpoint, trust, connect(endpoint, trust), created_at)


def connect(endpoint: Endpoint, trust: Trust) -> Connection:
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            return Connection(endpoint, trust)
        except HostKeyMismatch:
            raise
        except SshError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def run_job(link: RunnerLink, attempt: str, *commands: str, image: str = "") -> tuple[bytes, int | None]:
    """(the log, the exit code)."""
    link.submit({**JOB, "attempt": attempt, "commands": list(commands), "image": image or JOB["image"]})
    log = b"".join(link.log(0, follow=True))
    state = link.state()
    deadline = time.monotonic() + JOB_SECONDS
    while state.phase not in ("uploading", "finished") and time.monotonic() < deadline:
        state = link.state(after=state.seq, wait=10)
    return log, state.exit_code

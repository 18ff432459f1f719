"""This computer as one of the user's own machines: a real sshd on loopback, its leases in a folder of the test's."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from dstack_cloud.backends.ssh.backend import SshBackend
from dstack_cloud.backends.ssh.config import SshConfig
from tests.unit.ssh import sshd


def settings(server: sshd.Sshd, **changes: Any) -> dict[str, Any]:
    """The backend's settings with one machine called `big`."""
    key = server.folder / "client_key"
    key.touch(mode=0o600)
    key.write_text(server.client.private)
    machine = {
        "name": "big",
        "host": server.endpoint.host,
        "port": server.endpoint.port,
        "user": server.endpoint.user,
        "key": str(key),
        "host_key": server.host.public,
        **changes,
    }
    folder = str(server.folder / "leases")
    return {"machines": [machine], "folder": folder, "private_folder": "leases"}


def backend(server: sshd.Sshd, **changes: Any) -> SshBackend:
    config = SshConfig.model_validate(settings(server, **changes))
    return SshBackend(config, f"test-{uuid.uuid4().hex[:12]}", "python:{python}")


def leases(server: sshd.Sshd) -> list[Path]:
    folder = server.folder / "leases"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.exists() else []

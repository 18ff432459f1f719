"""Each machine's own keys, as files of mode 0600 in the state folder: never in the database, never in a log."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dstack_cloud.ssh.keys import KeyPair, generate


@dataclass(frozen=True)
class MachineKeys:
    host: KeyPair
    client: KeyPair


class KeyStore:
    """`folder/<instance id>/{host,client}[.pub]`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, instance_id: str) -> MachineKeys:
        """New keys, or those made before for the same instance."""
        place = self._folder / instance_id
        if not (place / "client.pub").exists():
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("host", "client"):
                pair = generate()
                _write(place / name, pair.private)
                _write(place / f"{name}.pub", pair.public)
        return self.load(instance_id)

    def load(self, instance_id: str) -> MachineKeys:
        """Raises FileNotFoundError where they were never made or are forgotten."""
        place = self._folder / instance_id
        host, client = (KeyPair((place / n).read_text(), (place / f"{n}.pub").read_text()) for n in ("host", "client"))
        return MachineKeys(host, client)

    def installed(self, instance_id: str) -> bool:
        """Whether the runner was put onto that machine by this server or one before it."""
        return (self._folder / instance_id / "installed").exists()

    def mark_installed(self, instance_id: str) -> None:
        _write(self._folder / instance_id / "installed", "")

    def forget(self, instance_id: str) -> None:
        shutil.rmtree(self._folder / instance_id, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

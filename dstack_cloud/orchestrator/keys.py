"""Each machine's own keys, as files of mode 0600 in the state folder: never in the database, never in a log."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from dstack_cloud.ssh.keys import KeyPair, generate


@dataclass(frozen=True)
class MachineKeys:
    """`host` went out with the user data, where others may read it; `next_host` takes its place over the first connection, and
    from when that is confirmed it is None and `host` the new one."""

    host: KeyPair
    client: KeyPair
    next_host: KeyPair | None = None

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The public keys that the machine may show now."""
        return (self.host.public,) if self.next_host is None else (self.next_host.public, self.host.public)


class KeyStore:
    """`folder/<instance id>/{host,next_host,client}[.pub]`, and what is remembered of the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, instance_id: str) -> MachineKeys:
        """New keys, or those made before for the same instance."""
        place = self._folder / instance_id
        if not (place / "client.pub").exists():
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            # both host keys are on record before the machine is: whichever it shows is known
            for name in ("host", "next_host", "client"):
                pair = generate()
                _write(place / name, pair.private)
                _write(place / f"{name}.pub", pair.public)
        return self.load(instance_id)

    def load(self, instance_id: str) -> MachineKeys:
        """Raises FileNotFoundError where they were never made or are forgotten."""
        place = self._folder / instance_id
        try:
            # first, for it may become `host` meanwhile
            next_host = _pair(place / "next_host")
        except FileNotFoundError:
            next_host = None
        return MachineKeys(_pair(place / "host"), _pair(place / "client"), next_host)

    def confirm_host_key(self, instance_id: str) -> None:
        """The machine shows `next_host` now: the one that others may have read opens nothing any more."""
        place = self._folder / instance_id
        if (place / "next_host").exists():
            (place / "next_host").replace(place / "host")
        if (place / "next_host.pub").exists():
            (place / "next_host.pub").replace(place / "host.pub")

    def installed(self, instance_id: str) -> dict[str, Any] | None:
        """What the machine said of itself when the runner was put onto it, by this server or one before it; None: not yet."""
        try:
            return cast(dict[str, Any], json.loads((self._folder / instance_id / "installed").read_text() or "{}"))
        except FileNotFoundError:
            return None

    def mark_installed(self, instance_id: str, facts: dict[str, Any]) -> None:
        self._note(instance_id, "installed", json.dumps(facts))

    def carrier(self, instance_id: str) -> Literal["", "machine", "server"]:
        """Who was chosen to carry its objects."""
        try:
            return cast(Literal["machine", "server"], (self._folder / instance_id / "carrier").read_text())
        except FileNotFoundError:
            return ""

    def mark_carrier(self, instance_id: str, carrier: Literal["machine", "server"]) -> None:
        self._note(instance_id, "carrier", carrier)

    def known(self) -> list[str]:
        """The ids of the instances of which anything is kept."""
        return [place.name for place in self._folder.iterdir()] if self._folder.exists() else []

    def forget(self, instance_id: str) -> None:
        shutil.rmtree(self._folder / instance_id, ignore_errors=True)

    def _note(self, instance_id: str, name: str, text: str) -> None:
        place = self._folder / instance_id
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(place / f"{name}.new", text)
        (place / f"{name}.new").replace(place / name)


def _pair(path: Path) -> KeyPair:
    private = path.read_text() if path.exists() else ""
    return KeyPair(private, path.with_name(f"{path.name}.pub").read_text())


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

"""`DSTACK_HOME/ssh`: what the OpenSSH client needs to reach the machines that somebody on this computer is attached to.

ssh/config              what a user includes in their own ~/.ssh/config; it includes all entries below
ssh/<process>/lock      held by that process as long as it lives; what lies beside a lock that nobody holds is swept away
ssh/<process>/*.conf    an entry a job, with its key and the machine's host key beside it (0600)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.ssh import openssh
from dstack_cloud.ssh.endpoint import Endpoint, Jump, Trust

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import AccessView, WayView


def trust_in(view: AccessView) -> Trust:
    """Whom to trust on the way to a job's machine, and there."""
    jumps = tuple(Jump(jump["endpoint"], _trust(jump)) for jump in view["jumps"])
    return _trust(view, jumps)


def _trust(way: WayView, jumps: tuple[Jump, ...] = ()) -> Trust:
    return Trust(way["client_key"], tuple(way["host_keys"]), jumps)


class Ways:
    """This process's own entries; made on disk with the first one. Thread-safe. Raises OSError where the disk refuses."""

    def __init__(self, home: Path) -> None:
        self._root = home / "ssh"
        self._lock = threading.Lock()
        self._held = -1
        self._folder: Path | None = None
        self.config = self._root / "config"

    def open_folder(self) -> Path:
        """The private folder of this process, which others leave alone as long as it lives."""
        with self._lock:
            if self._folder is None:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._sweep()
                self._folder, self._held = self._claim()
                # relative names in it would be looked for in ~/.ssh
                _replace(self.config, f'Include "{self._root}/*/*.conf"\n')
            return self._folder

    def add(self, names: Sequence[str], endpoint: Endpoint, trust: Trust) -> Path:
        """Lets `ssh NAME` reach the machine, for each of the names; returns the entry's file. All host keys must be whole."""
        entry = self.open_folder() / f"{names[0]}.conf"
        openssh.write_hosts(entry, names, endpoint, trust)
        return entry

    def remove(self, name: str) -> None:
        """The entry whose first name it is, with its keys; none there is no error."""
        if self._folder is None:
            return
        for pattern in ("conf", "key", "hosts", "jump-*"):
            for path in self._folder.glob(f"{name}.{pattern}"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes all of this process's; no key stays."""
        with self._lock:
            folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(self._held)

    def hint(self) -> str:
        """How to include the entries, told once in a user's life; "" where they are included or it was told before."""
        told = self._root / "told"
        if told.exists() or _mentions(Path.home() / ".ssh" / "config", self.config):
            return ""
        told.touch(mode=0o600)
        shown = f"~/{self.config.relative_to(Path.home())}" if self.config.is_relative_to(Path.home()) else self.config
        return (
            f"hint: with `Include {shown}` as the first line of ~/.ssh/config, `ssh RUN` and editors reach the machine of "
            "a run that you follow"
        )

    def _claim(self) -> tuple[Path, int]:
        """A new folder, and a descriptor that holds its lock."""
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self._root))
            try:
                descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
            except FileNotFoundError:
                continue  # somebody has swept it away before it was ours
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (folder / "lock").exists():
                return folder, descriptor
            os.close(descriptor)

    def _sweep(self) -> None:
        """What processes left that were killed."""
        for folder in self._root.glob("*/"):
            try:
                descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
            except OSError:
                continue  # its owner has just removed it
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                pass  # its owner lives
            finally:
                os.close(descriptor)


def _mentions(file: Path, config: Path) -> bool:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return False
    wanted = [line.split(None, 1)[1].strip('" ') for line in lines if line.strip().lower().startswith("include ")]
    return any(Path(each).expanduser() == config for each in wanted)


def _replace(path: Path, text: str) -> None:
    """In one step: `ssh` may be reading it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(0o600)
    partial.replace(path)

"""What lies where in the runner's folder. It is private (0700): nobody else can reach what is inside."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.lock = self.root / "lock"
        self.state = self.root / "state.json"
        self.log = self.root / "log"
        self.log_times = self.root / "log_times"
        self.work = self.root / "work"
        self.home = self.root / "home"
        self.python = self.root / "python"
        self.ca_bundle = self.root / "ca-bundle.pem"
        self.exit_code = self.root / "exit_code"
        self.syncs = self.root / "syncs"
        self.gpus = self.root / "gpus"
        self.git = self.root / "git"
        self.setup_paths = self.root / "setup_paths"

    def make(self) -> None:
        """Makes what isn't there; safe to call again."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in (self.work, self.home):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)

    @property
    def setup(self) -> Folder:
        """Where a setup is made: the same places once more, so that nothing but what is kept of it reaches the job."""
        return Folder(self.root / "setup")

    def place(self, path: str) -> Path:
        """Where a path of the job lies: `~/…` in its home folder, else in the working folder."""
        if path == "~" or path.startswith("~/"):
            return self.home / path[2:]
        return self.work / path

    def gpu_devices(self) -> list[str] | None:
        """The GPUs that this job may use, by number or UUID; None: any."""
        if not self.gpus.exists():
            return None
        return [device.strip() for device in self.gpus.read_text().split(",") if device.strip()]

    def fingerprint(self, name: str) -> Path:
        return self.root / f"{name}.fingerprint"


def remove_tree(top: Path) -> None:
    """All of it that this user may remove, also from folders that a job made read-only (as module caches are)."""
    shutil.rmtree(top, ignore_errors=True)
    if not top.exists():
        return
    for place, _, _ in os.walk(top):
        with contextlib.suppress(OSError):
            Path(place).chmod(0o700)
    shutil.rmtree(top, ignore_errors=True)


def write_durably(path: Path, data: bytes) -> None:
    """Replaces the file whole: after a power cut there is the old or the new one. Mode 0600."""
    partial = path.with_name(path.name + ".partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""Runners on this computer: a folder and a process each."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dstack_cloud.api.locations import socket_path
from dstack_cloud.runner_bootstrap.bundle import bundle, bundle_digest
from dstack_cloud.runner_bootstrap.payload.folder import remove_tree

# a runner that was never given a job ends itself after this many seconds
IDLE_TIMEOUT = 600
# what SIGTERM may take: the job's own grace, then its end
TERM_SECONDS = 20.0
LEFTOVER_LOOKS = 200


@dataclass(frozen=True)
class RunnerProcess:
    """`folder` holds all of it; its name is the launch's key."""

    folder: Path

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def socket(self) -> Path:
        return socket_path(self.folder / "runner.sock")

    @property
    def _pid_file(self) -> Path:
        return self.folder / "runner.pid"

    def alive(self) -> bool:
        """It holds its lock, or was started just now and hasn't taken it yet."""
        return self._locked() or self._pid() is not None

    def _locked(self) -> bool:
        try:
            with (self.folder / "lock").open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def _pid(self) -> int | None:
        """Its process id, if that process is still the one that was started."""
        try:
            pid, born = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        _reap(int(pid))
        return int(pid) if process_birth(int(pid)) == born else None

    def start(self, home: Path) -> None:
        """Starts it where it isn't alive already. Its files: runner.log, lock, runner.sock, and what the job makes."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.alive():
            return
        command = [sys.executable, str(_bundle_file(home)), "serve", "--folder", str(self.folder)]
        command += [
            "--socket",
            str(self.socket),
            "--idle-timeout",
            str(IDLE_TIMEOUT),
            "--setups",
            str(setups_folder(home)),
        ]
        with (self.folder / "runner.log").open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=self.folder
            )
        self._pid_file.write_text(f"{process.pid} {process_birth(process.pid)}")

    def end(self, wait: float) -> bool:
        """SIGTERM, which ends the job too; SIGKILL when that took too long. True when nothing is left of it."""
        deadline = time.monotonic() + wait
        while (pid := self._pid()) is not None and time.monotonic() < deadline:
            self._signal(pid)
            time.sleep(0.01)
        if self._pid() is not None:
            return False
        if self._locked():
            # its number is lost (a crash right after the start): a runner whose folder vanishes ends itself
            remove_tree(self.folder)
            return False
        kill_leftovers(self.key)
        remove_tree(self.folder)
        self.socket.unlink(missing_ok=True)
        return not self.folder.exists()

    def _signal(self, pid: int) -> None:
        asked = self.folder / "terminating"
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if not asked.exists():
                asked.touch()
                os.kill(pid, signal.SIGTERM)
            elif time.time() - asked.stat().st_mtime > TERM_SECONDS:
                os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        try:
            lines = (self.folder / "runner.log").read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1] if lines else ""


def _reap(pid: int) -> None:
    """A child that ended stays a zombie until it is waited for; a runner adopted after a restart isn't a child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def process_birth(pid: int) -> str:
    """Something that tells this process from a later one of the same number; "" where there is none (or only a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self").exists() else _birth_by_ps(pid)
    except ProcessLookupError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _birth_by_ps(pid: int) -> str:
    """macOS has no /proc."""
    output = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return output.strip().replace(" ", "-")


def kill_leftovers(key: str) -> None:
    """Processes of a job whose runner was killed: they carry the attempt in their environment."""
    mark = f"DSTACK_ATTEMPT={key}".encode()
    # again while there were some: one that is about to die may have had a child since the folder was read
    for _ in range(LEFTOVER_LOOKS):
        found = [pid for pid in _processes() if mark in _environment(pid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> list[bytes]:
    """As it was at its start; empty for a zombie, and for another user's process."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _bundle_file(home: Path) -> Path:
    """The runner's zipapp, once per content."""
    path = home / "runners" / f"runner-{bundle_digest()[:16]}.pyz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(bundle())
        part.replace(path)
    return path


def setups_folder(home: Path) -> Path:
    """Where runners of this computer keep what setups made."""
    return home / "setups"


def runners(home: Path) -> list[RunnerProcess]:
    folder = home / "runners"
    return [RunnerProcess(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []

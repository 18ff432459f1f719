"""Finds every process of a job, also those that left its session or lost their parent, so that none outlives it.

On Linux the runner is the subreaper of its job (prctl(2)): an orphan becomes its child, so all of them are its descendants.
Where there is no /proc, only the job's process group is known.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
PROC = Path("/proc")
LINUX = sys.platform.startswith("linux")


class Process(NamedTuple):
    """One line of /proc/PID/stat; `started` is clock ticks since the boot, which tells a reused pid from the old one."""

    pid: int
    parent: int
    session: int
    started: int
    zombie: bool


def become_subreaper() -> bool:
    """False where the system can't; then orphans are found by their session and environment."""
    if not LINUX:
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def look(pid: int) -> Process | None:
    try:
        data = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # the name, in brackets, may hold anything: fields are counted from its end
    fields = data[data.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))


class Family:
    """The processes of one job: `leader` is the first of them, `spared` are the runner's own among its children."""

    def __init__(self, leader: int, spared: set[int], mark: bytes = b"") -> None:
        """`mark` (`NAME=value`) finds members by their environment: for a runner that isn't their ancestor any more."""
        self.leader = leader
        self._spared = spared
        self._mark = mark

    def members(self) -> list[int]:
        """Those that live; zombies among the runner's children are reaped on the way."""
        if not LINUX:
            return [-self.leader] if _group_lives(self.leader) else []
        table = [found for entry in PROC.iterdir() if entry.name.isdigit() and (found := look(int(entry.name)))]
        chosen = self._descendants(table)
        alive = []
        for process in table:
            if process.pid in chosen and process.zombie:
                self._reap(process)
            elif process.pid in chosen:
                alive.append(process.pid)
        return alive

    def signal(self, number: int) -> list[int]:
        """Sends it to every member; who they were."""
        members = self.members()
        for pid in members:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # ended meanwhile, or another user's (a setuid program): not ours to end
        return members

    def wait_gone(self, seconds: float) -> bool:
        """Whether none lives any more, looking for at most so long."""
        deadline = time.monotonic() + seconds
        while self.members():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self, seconds: float = 10.0) -> bool:
        """SIGKILL until none is left (new ones may come while it looks); False where some can't be killed in time."""
        deadline = time.monotonic() + seconds
        while self.signal(signal.SIGKILL):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def _descendants(self, table: list[Process]) -> set[int]:
        chosen = {os.getpid()}
        for process in table:
            if process.session == self.leader or process.pid == self.leader or self._is_marked(process.pid):
                chosen.add(process.pid)
        chosen -= self._spared
        grown = True
        while grown:
            more = {p.pid for p in table if p.parent in chosen and p.pid not in chosen and p.pid not in self._spared}
            chosen |= more
            grown = bool(more)
        return chosen - {os.getpid()}

    def _is_marked(self, pid: int) -> bool:
        if not self._mark or pid == os.getpid():
            return False
        try:
            return self._mark in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def _reap(self, process: Process) -> None:
        # the leader is waited for by who started it
        if process.parent == os.getpid() and process.pid != self.leader:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""Tells a job that the machine ran out of memory for from one that was killed for another reason."""

from __future__ import annotations

import signal
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.executor import Ending

KILLED = 128 + signal.SIGKILL
VMSTAT = Path("/proc/vmstat")


def kills(vmstat: Path = VMSTAT) -> int:
    """How many processes the kernel has killed since the boot because memory ran out, in any cgroup or for want of any (Linux
    4.13 and later); 0 where that can't be told."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def judge(ending: Ending, before: int, now: int) -> Ending:
    """The ending, with its reason where it was killed and the kernel has killed for memory since the job's start."""
    if ending.reason or ending.exit_code != KILLED or now <= before:
        return ending
    return Ending(
        KILLED, "out_of_memory", "out of memory: the kernel killed the job because the machine's memory ran out"
    )


def over_limit(exit_code: int, limit: int | None) -> Ending:
    """Of a container whose engine says that the kernel killed in it. A job that went on without what was killed, and ended
    well, has ended well."""
    if exit_code == 0:
        return Ending(0)
    whose = f"its limit of {limit / 2**30:.3g} GB" if limit else "the machine's memory"
    return Ending(exit_code, "out_of_memory", f"out of memory: the job was killed because it used up {whose}")

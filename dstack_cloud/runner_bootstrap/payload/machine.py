"""What the runner was told of the machine it runs on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

METADATA = "http://169.254.169.254"


class Machine(NamedTuple):
    """`metadata` is the address of the cloud's metadata service. `own`: nobody else's containers run here, so the machine's
    firewall may be changed. `setups`: the folder where what setups made is kept for later jobs; "": nowhere."""

    metadata: str = METADATA
    own: bool = False
    setups: str = ""


def boot() -> str:
    """Differs after a restart of the machine; "" where that can't be told."""
    try:
        # a machine that is itself a container keeps its host's identity, but not its first process
        first = Path("/proc/1/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + "-" + first
    except OSError:
        return ""

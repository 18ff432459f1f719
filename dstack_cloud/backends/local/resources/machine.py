"""What this computer has."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from dstack_cloud.backends.base import nvidia
from dstack_cloud.domain.resources import Gpu, Machine


def this_machine(folder: Path) -> Machine:
    """`disk` is what is free where jobs' folders lie."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=os.cpu_count() or 1, memory=pages * page, gpus=nvidia_gpus(), disk=shutil.disk_usage(folder).free
    )


@cache
def nvidia_gpus() -> tuple[Gpu, ...]:
    """As nvidia-smi lists them; none where there is no driver."""
    try:
        text = subprocess.run(nvidia.QUERY, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return nvidia.read_gpus(text.splitlines())

"""File systems made of Debian's packages, for computers whose engine can pull no base image.

`mmdebstrap` unpacks and configures packages into a tar that `docker import` takes. Downloaded packages are kept in the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dstack_cloud.errors import InvalidConfiguration, Unavailable

SUITE = "bookworm"
UNUSED = ("man", "doc", "locale", "info", "lintian", "zoneinfo")
RUN_ERRORS = 2000


@dataclass(frozen=True)
class FileSystem:
    """`variant` is mmdebstrap's: `minbase` configures the packages, `extract` only unpacks them (in a third of the time).

    `hooks` are shell lines that run when the packages are in place; `$1` is the new root.
    """

    packages: tuple[str, ...]
    variant: str
    hooks: tuple[str, ...] = ()


def available() -> str:
    """Empty where file systems can be made here, else what is missing."""
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap isn't installed"
    return "" if os.geteuid() == 0 else "making one of Debian's packages needs root"


def make(system: FileSystem, target: Path, *, mirror: str, cache: Path) -> None:
    """Writes the file system to the tar `target`. Raises InvalidConfiguration, Unavailable."""
    if wrong := available():
        raise InvalidConfiguration(
            f"can't make an image of Debian's packages: {wrong}", "apt install mmdebstrap, and run as root"
        )
    packages = cache / "debs"
    packages.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command(system, target, mirror, packages), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Unavailable(
            "mmdebstrap could not make the image",
            f"see what it says, and whether {mirror or 'Debian'} can be reached from here",
            cloud_message=done.stderr[-RUN_ERRORS:],
        )


def command(system: FileSystem, target: Path, mirror: str, packages: Path) -> list[str]:
    """mmdebstrap's arguments. `--skip` keeps its downloads, so that they can be copied into the cache."""
    stage = "extract" if system.variant == "extract" else "customize"
    archives = '"$1"/var/cache/apt/archives'
    return [
        "mmdebstrap",
        "--mode=root",
        f"--variant={system.variant}",
        f"--include={','.join(system.packages)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNUSED),
        "--skip=download/empty",
        "--skip=essential/unlink",
        f"--setup-hook=mkdir -p {archives}; cp -n '{packages}'/*.deb {archives}/ 2>/dev/null || true",
        f"--{stage}-hook=cp -n {archives}/*.deb '{packages}'/ 2>/dev/null || true; rm -f {archives}/*.deb",
        *(f"--{stage}-hook={hook}" for hook in system.hooks),
        SUITE,
        str(target),
        *([mirror] if mirror else []),
    ]

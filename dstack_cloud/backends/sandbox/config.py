"""What a project may set about its throw-away machines."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pydantic import Field, field_validator

from dstack_cloud.domain.resources import Frozen

GIB = 2**30
# its own address, the gateway, a machine, the broadcast address
SMALLEST_SUBNET = 4
# what the job image that is made here has: the suite's own
PYTHON = "3.11"


class SandboxConfig(Frozen):
    """`memory` is bytes of one machine, `cpu` its share of this computer's processors.

    `machine_image` is an image to boot instead of the one that is built on first use; `base_image` is what that one is built
    from where the engine has it or can pull it, else it is made of Debian's packages, from `debian_mirror` (a URL; empty:
    mmdebstrap's own choice). `cache_folder` keeps what was downloaded.

    `subnet` is the machines' private network in CIDR form; Docker picks one where it is empty. `mirror_port` is where the
    machines find this computer's images, on that network's gateway only.
    """

    cpu: int = Field(default=2, ge=1)
    memory: int = Field(default=2 * GIB, ge=256 * 2**20)
    machine_image: str = ""
    base_image: str = "debian:bookworm-slim"
    job_image: str = "dstack-cloud/job:py{python}"
    debian_mirror: str = ""
    subnet: str = ""
    mirror_port: int = Field(default=5947, ge=1, le=65535)
    cache_folder: Path | None = None

    def job_image_for(self, python: str = PYTHON) -> str:
        return self.job_image.replace("{python}", python)

    @field_validator("subnet")
    @classmethod
    def _is_a_network(cls, subnet: str) -> str:
        if subnet and ipaddress.ip_network(subnet).num_addresses < SMALLEST_SUBNET:
            raise ValueError(f"{subnet} has no room for a gateway and a machine")
        return subnet

    @property
    def cache(self) -> Path:
        """An absolute folder, by the XDG base directory specification where none is set."""
        if self.cache_folder is not None:
            return self.cache_folder.expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(base).expanduser().absolute() / "dstack-cloud" / "sandbox"

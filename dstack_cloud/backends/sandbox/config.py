"""What a project may set about its throw-away machines."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, field_validator

from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError

GIB = 2**30
# its own address, the gateway, a machine, the broadcast address
SMALLEST_SUBNET = 4
# what the job image that is made here has: the suite's own
PYTHON = "3.11"
NAME = "sandbox"
DEFAULT_TYPE = "sandbox.small"
# a zone's name is its region's and a letter: eu-west-3a (Amazon), europe-west1-b (Google)
ZONE = re.compile(r"(?P<region>.+\d)[a-z]|(?P<dashed>.+)-[a-z]")


class Zone(NamedTuple):
    """`name` is "" where the region has but one place."""

    region: str
    name: str


class GpuSetting(Frozen):
    """GPUs that a machine tells of without having them. `memory`: of one, in bytes or as `16GB`."""

    name: str
    count: int = Field(default=1, ge=1)
    memory: int = Field(ge=1)

    @field_validator("memory", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return _bytes(value)


class TypeSetting(Frozen):
    """An instance type. Prices are USD an hour; without `spot_price` a spot machine costs the same."""

    name: str = Field(min_length=1)
    cpu: int = Field(default=2, ge=1)
    memory: int = Field(default=2 * GIB, ge=256 * 2**20)
    price: float = Field(default=0.0, ge=0)
    spot_price: float | None = Field(default=None, ge=0)
    gpus: GpuSetting | None = None

    @field_validator("memory", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return _bytes(value)


def _bytes(value: object) -> object:
    """A size as people write it; anything else is judged by the field's own type."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    try:
        return parse_size(value)
    except ConfigurationError as wrong:
        raise ValueError(wrong.summary) from wrong


class SandboxConfig(Frozen):
    """`memory` is bytes of one machine, `cpu` its share of this computer's processors.

    `machine_image` is an image to boot instead of the one that is built on first use; `base_image` is what that one is built
    from where the engine has it or can pull it, else it is made of Debian's packages, from `debian_mirror` (a URL; empty:
    mmdebstrap's own choice). `cache_folder` keeps what was downloaded.

    `subnet` is the machines' private network in CIDR form; Docker picks one where it is empty. `mirror_port` is where the
    machines find this computer's images, `metadata_port` where their metadata service is, both on that network's gateway only.

    What follows rehearses a cloud. `zones`: their names; a region is a zone's name without its last letter (eu-west-3a,
    europe-west1-b). `types`: instance types; without them there is one, of `cpu`, `memory`, `price` and `spot_price`.
    `no_capacity`: zones, regions or types that are sold out, of both kinds or of one (`spot/eu-west-3a`, `on-demand/big`,
    `spot/*`). `quota`: so many machines at most. `interrupt_after`: seconds after its start each spot machine is told that it
    has `notice` seconds left. `boot_delay`: seconds before a machine begins to boot.
    """

    cpu: int = Field(default=2, ge=1)
    memory: int = Field(default=2 * GIB, ge=256 * 2**20)
    price: float = Field(default=0.0, ge=0)
    spot_price: float | None = Field(default=None, ge=0)
    types: tuple[TypeSetting, ...] = ()
    zones: tuple[str, ...] = ()
    no_capacity: tuple[str, ...] = ()
    quota: int | None = Field(default=None, ge=0)
    interrupt_after: float | None = Field(default=None, gt=0)
    notice: float = Field(default=120.0, gt=0)
    boot_delay: float = Field(default=0.0, ge=0)
    machine_image: str = ""
    base_image: str = "debian:bookworm-slim"
    job_image: str = "dstack-cloud/job:py{python}"
    debian_mirror: str = ""
    subnet: str = ""
    mirror_port: int = Field(default=5947, ge=1, le=65535)
    metadata_port: int = Field(default=5948, ge=1, le=65535)
    cache_folder: Path | None = None

    def job_image_for(self, python: str = PYTHON) -> str:
        return self.job_image.replace("{python}", python)

    @property
    def places(self) -> list[Zone]:
        return [_zone(name) for name in self.zones] or [Zone(NAME, "")]

    @property
    def instance_types(self) -> list[TypeSetting]:
        if self.types:
            return list(self.types)
        size = {"cpu": self.cpu, "memory": self.memory, "price": self.price, "spot_price": self.spot_price}
        return [TypeSetting.model_validate({"name": DEFAULT_TYPE, **size})]

    @field_validator("memory", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return _bytes(value)

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


def _zone(name: str) -> Zone:
    match = ZONE.fullmatch(name)
    return Zone(match["region"] or match["dashed"], name) if match else Zone(name, name)

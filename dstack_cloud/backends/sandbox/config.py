"""What a project may set about its throw-away machines."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, field_validator

from dstack_cloud.backends.base.settings import SIZE
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
    """GPUs that a machine tells of without having them."""

    name: str = Field(description="The model, such as `V100`.")
    count: int = Field(default=1, ge=1, description="How many.")
    memory: int = Field(ge=1, description="Memory of each: bytes, or a size.", json_schema_extra=SIZE)

    @field_validator("memory", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return _bytes(value)


CPU = "Processors of a machine: its share of this computer's."
MEMORY = "Memory of a machine: bytes, or a size such as `2GiB`."
PRICE = "What a machine costs, USD per hour."
SPOT_PRICE = "The same for a spot machine. Without it: what `price` is."


class TypeSetting(Frozen):
    """An instance type."""

    name: str = Field(min_length=1, description="What it is called, as in `instance_types: big`.")
    cpu: int = Field(default=2, ge=1, description=CPU)
    memory: int = Field(default=2 * GIB, ge=256 * 2**20, description=MEMORY, json_schema_extra=SIZE)
    price: float = Field(default=0.0, ge=0, description=PRICE)
    spot_price: float | None = Field(default=None, ge=0, description=SPOT_PRICE)
    gpus: GpuSetting | None = Field(None, description="GPUs that it tells of without having them.")

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
    """The machines, and the cloud that they rehearse."""

    cpu: int = Field(default=2, ge=1, description=CPU)
    memory: int = Field(default=2 * GIB, ge=256 * 2**20, description=MEMORY, json_schema_extra=SIZE)
    price: float = Field(default=0.0, ge=0, description=PRICE)
    spot_price: float | None = Field(default=None, ge=0, description=SPOT_PRICE)
    types: tuple[TypeSetting, ...] = Field(
        (), description="Instance types, each as below. Without it: one of the above."
    )
    zones: tuple[str, ...] = Field(
        (),
        description="Their names, such as `eu-west-3a` or `europe-west1-b`. A region is a zone's name without its last letter.",
    )
    no_capacity: tuple[str, ...] = Field(
        (),
        description="Zones, regions or types that are sold out, of both kinds (`eu-west-3a`) or of one (`spot/eu-west-3a`,"
        " `on-demand/big`, `spot/*`).",
    )
    quota: int | None = Field(default=None, ge=0, description="So many machines at once at most.")
    interrupt_after: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after its start at which each spot machine is told that it will be taken back.",
    )
    notice: float = Field(default=120.0, gt=0, description="Seconds from that until it is taken.")
    boot_delay: float = Field(default=0.0, ge=0, description="Seconds before a machine begins to boot.")
    machine_image: str = Field("", description="An image to boot instead of the one that is built on first use.")
    base_image: str = Field(
        "debian:bookworm-slim",
        description="What that one is built from, where the engine has it or can pull it. Else it is made of Debian's packages.",
    )
    job_image: str = Field("dstack-cloud/job:py{python}", description="What a job without `image` runs in.")
    debian_mirror: str = Field(
        "", description="The URL that Debian's packages come from. Without it: what mmdebstrap chooses."
    )
    cache_folder: Path | None = Field(
        None, description="Where downloads are kept. Without it: `dstack-cloud/sandbox` in `~/.cache`."
    )
    subnet: str = Field("", description="The machines' private network (CIDR). Without it: Docker picks one.")
    mirror_port: int = Field(
        default=5947, ge=1, le=65535, description="Where machines find this computer's images, on that network only."
    )
    metadata_port: int = Field(
        default=5948, ge=1, le=65535, description="Where machines find their metadata service, on that network only."
    )

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

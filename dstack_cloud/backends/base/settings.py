"""What a project may set about any cloud."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError

GIB = 2**30


# a number of bytes, or a size as people write it
SIZE: JsonDict = {"type": ["string", "integer"]}
DISK = (
    "The disk that a machine boots from, at least: bytes, or a size. A job that asks for disk space gets that beside what the image"
    " fills."
)


class CloudConfig(Frozen):
    """Each field's description is what the documentation says of it."""

    regions: tuple[str, ...] = Field(
        (), description="Where machines are looked for. Without it: the login's own region."
    )
    instance_types: tuple[str, ...] = Field(
        (), description="Only these types; wildcards are allowed, such as `g5.*`. Without it: all."
    )
    disk: int = Field(default=50 * GIB, ge=8 * GIB, description=DISK, json_schema_extra=SIZE)
    ssh_from: tuple[str, ...] = Field(
        (),
        description="The networks (CIDR) that may reach port 22, instead of this computer's public address. That one is as"
        " `checkip.amazonaws.com` tells it.",
    )
    public_ip: bool = Field(
        default=True,
        description="false: machines are reached at their private address (through a VPN, or from a server in their network).",
    )
    endpoint: str = Field("", description="One URL for all services: an emulator.")

    @field_validator("disk", mode="before")
    @classmethod
    def _is_a_size(cls, disk: object) -> object:
        if not isinstance(disk, str):
            return disk
        try:
            return parse_size(disk)
        except ConfigurationError as wrong:
            raise ValueError(f"{wrong.summary}: {wrong.hint}") from None

    @field_validator("ssh_from")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.IPv4Network(network, strict=False)) for network in networks)

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{endpoint!r} isn't a URL (http://… or https://…)")
        return endpoint.rstrip("/")

"""What a project may set about any cloud."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError

GIB = 2**30


class CloudConfig(Frozen):
    """`regions`: empty is the login's own, where it has one. `endpoint` is one URL for all services, for an emulator.
    `instance_types` limits what is offered ("g5.*").

    `ssh_from` are the networks (CIDR) that may reach port 22; empty: this computer's public address. `public_ip` False: machines
    are reached at their private address. `disk` is bytes of the root disk (or a size, "100GiB") where a job doesn't ask for more.
    """

    regions: tuple[str, ...] = ()
    endpoint: str = ""
    instance_types: tuple[str, ...] = ()
    ssh_from: tuple[str, ...] = ()
    public_ip: bool = True
    disk: int = Field(default=50 * GIB, ge=8 * GIB)

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

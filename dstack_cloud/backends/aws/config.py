"""What a project may set about AWS."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError

GIB = 2**30
# Public parameters of the Systems Manager, looked up in each region:
# https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
# https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html (driver, Docker and NVIDIA's container toolkit are in it)
DEEP_LEARNING = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
NO_PROFILE = "none"


class Images(Frozen):
    """What machines boot: an AMI's id, or the name of a Systems Manager parameter that holds one."""

    cpu: str = UBUNTU
    gpu: str = DEEP_LEARNING

    @field_validator("cpu", "gpu")
    @classmethod
    def _is_an_image(cls, image: str) -> str:
        if not image.startswith(("ami-", "/")):
            raise ValueError(f"{image!r} is neither an AMI's id (ami-…) nor a parameter's name (/…)")
        return image


class AwsConfig(Frozen):
    """`profile` is one of ~/.aws; empty: the default. Credentials are never copied from there.

    `regions`: empty is the profile's own. `endpoint` is one URL for all services, for an emulator. `vpc` or `subnets` are used
    instead of each region's default VPC. `instance_profile` is the identity of the machines; empty: one is made that may
    touch the project's store and nothing else; "none": they get none. `lend_role` is the ARN of a role from which short-lived
    credentials for the store are taken, for machines elsewhere.

    `instance_types` limits what is offered ("g5.*"). `ssh_from` are the networks (CIDR) that may reach port 22; empty: this
    computer's public address. `public_ip` False: machines are reached at their private address. `disk` is bytes of the root
    volume (or a size, "100GiB") where a job doesn't ask for more.
    """

    profile: str = ""
    regions: tuple[str, ...] = ()
    endpoint: str = ""
    vpc: str = ""
    subnets: tuple[str, ...] = ()
    instance_profile: str = ""
    lend_role: str = ""
    images: Images = Images()
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

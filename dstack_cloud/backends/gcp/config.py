"""What a project may set about Google Cloud."""

from __future__ import annotations

import ipaddress
import re

from pydantic import Field, field_validator

from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError

GIB = 2**30
# Families of images, PROJECT/FAMILY: https://cloud.google.com/compute/docs/images/os-details
UBUNTU = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
# NVIDIA's driver, Docker and NVIDIA's container toolkit are in it: https://cloud.google.com/deep-learning-vm/docs/images
DEEP_LEARNING = "deeplearning-platform-release/common-cu129-ubuntu-2204-nvidia-580"
NO_ACCOUNT = "none"
# https://cloud.google.com/compute/docs/naming-resources
IMAGE = re.compile(r"[a-z][-a-z0-9.:]*/[a-z]([-a-z0-9]*[a-z0-9])?")
PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")


class Images(Frozen):
    """What machines boot: PROJECT/FAMILY, whose newest image is taken, or PROJECT/IMAGE."""

    cpu: str = UBUNTU
    gpu: str = DEEP_LEARNING

    @field_validator("cpu", "gpu")
    @classmethod
    def _is_an_image(cls, image: str) -> str:
        if not IMAGE.fullmatch(image):
            raise ValueError(f"{image!r} is neither PROJECT/FAMILY nor PROJECT/IMAGE ({UBUNTU}, for example)")
        return image


class GcpConfig(Frozen):
    """`project` is a project's id; empty: that of the credentials. `credentials` is the path of a service account's key or of
    another file of credentials; empty: the application-default ones. They are read where they lie, never copied.

    `endpoint` is one URL for all services, for an emulator. `network` is a VPC network of the project, `subnet` a subnet of it
    that is in every region; empty: the network's first there. `service_account` is the email of the machines' identity;
    empty: one is made that may use the project's store, delete the machines of this installation, and nothing else; "none":
    they get none.

    `instance_types` limits what is offered ("g2-*"). `ssh_from` are the networks (CIDR) that may reach port 22; empty: this
    computer's public address. `public_ip` False: machines are reached at their private address, and need a way out of their
    own (Cloud NAT). `disk` is bytes of the boot disk (or a size, "100GiB") where a job doesn't ask for more.
    """

    project: str = ""
    credentials: str = ""
    regions: tuple[str, ...] = ()
    endpoint: str = ""
    network: str = "default"
    subnet: str = ""
    service_account: str = ""
    images: Images = Images()
    instance_types: tuple[str, ...] = ()
    ssh_from: tuple[str, ...] = ()
    public_ip: bool = True
    disk: int = Field(default=50 * GIB, ge=10 * GIB)

    @field_validator("project")
    @classmethod
    def _is_a_project(cls, project: str) -> str:
        if project and not PROJECT.fullmatch(project):
            raise ValueError(f"{project!r} is no project's id (`gcloud projects list` shows them)")
        return project

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

    @field_validator("service_account")
    @classmethod
    def _is_an_account(cls, account: str) -> str:
        if account and account != NO_ACCOUNT and "@" not in account:
            raise ValueError(f"{account!r} is neither a service account's email nor {NO_ACCOUNT!r}")
        return account

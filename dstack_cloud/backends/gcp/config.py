"""What a project may set about Google Cloud."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from dstack_cloud.backends.base.settings import DISK, GIB, SIZE, CloudConfig
from dstack_cloud.domain.resources import Frozen

# what URLs of the cloud's object store begin with
SCHEME = "gs"
# Families of images, PROJECT/FAMILY: https://cloud.google.com/compute/docs/images/os-details
UBUNTU = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
# NVIDIA's driver, Docker and NVIDIA's container toolkit are in it: https://cloud.google.com/deep-learning-vm/docs/images
DEEP_LEARNING = "deeplearning-platform-release/common-cu129-ubuntu-2204-nvidia-580"
NO_IDENTITY = "none"
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


class GcpConfig(CloudConfig):
    """Credentials are read where they lie, never copied."""

    project: str = Field("", description="The id of the project that pays. Without it: that of the credentials.")
    credentials: str = Field(
        "",
        description="The file of a service account's key, or of other credentials. Without it: the application-default ones.",
    )
    network: str = Field("default", description="A VPC network of the project.")
    subnet: str = Field(
        "", description="A subnet of the network that is in every region. Without it: the network's first there."
    )
    service_account: str = Field(
        "",
        description="The email of the machines' identity, instead of one that is made. That one may use the project's store, delete"
        " the machines that use it, and nothing else; `none`: they get none, and the server carries their objects or lends them"
        " credentials.",
    )
    images: Images = Field(
        Images(),
        description="What machines boot, without and with GPUs: PROJECT/FAMILY, whose newest image is taken, or PROJECT/IMAGE. It"
        " must have cloud-init.",
    )
    disk: int = Field(default=50 * GIB, ge=10 * GIB, description=DISK, json_schema_extra=SIZE)
    public_ip: bool = Field(
        default=True,
        description="false: machines are reached at their private address (through a VPN, or from a server in the network), and"
        " need Cloud NAT as their way out.",
    )

    @field_validator("project")
    @classmethod
    def _is_a_project(cls, project: str) -> str:
        if project and not PROJECT.fullmatch(project):
            raise ValueError(f"{project!r} is no project's id (`gcloud projects list` shows them)")
        return project

    @field_validator("service_account")
    @classmethod
    def _is_an_account(cls, account: str) -> str:
        if account and account != NO_IDENTITY and "@" not in account:
            raise ValueError(f"{account!r} is neither a service account's email nor {NO_IDENTITY!r}")
        return account

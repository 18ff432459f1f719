"""What a project may set about Azure."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from pathlib import Path

from pydantic import Field, field_validator

from dstack_cloud.backends.base.settings import CloudConfig
from dstack_cloud.domain.resources import Frozen

# what URLs of the cloud's object store begin with
SCHEME = "az"
# https://documentation.ubuntu.com/azure/azure-how-to/instances/find-ubuntu-images/
UBUNTU = "Canonical:ubuntu-24_04-lts:server:latest"
# NVIDIA's driver, Docker and NVIDIA's container toolkit are in it:
# https://learn.microsoft.com/azure/virtual-machines/azure-hpc-vm-images
UBUNTU_HPC = "microsoft-dsvm:ubuntu-hpc:2204:latest"
# whose images are systems without NVIDIA's driver, for which Azure has an extension that installs it
STOCK_PUBLISHERS = ("canonical",)
NO_IDENTITY = "none"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
URN = re.compile(r"[^:/\s]+:[^:/\s]+:[^:/\s]+:[^:/\s]+")
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
GROUP = re.compile(r"[\w.()-]{0,39}[\w()-]")


def is_size(name: str, pattern: str) -> bool:
    """Whether `instance_types` means a size by a pattern."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def lacks_driver(publisher: str) -> bool:
    """Whether images of a publisher are without NVIDIA's driver. What others bring, their makers know."""
    return publisher.lower() in STOCK_PUBLISHERS


class Images(Frozen):
    """What machines boot: a URN (publisher:offer:sku:version), or the resource id of an image or of a gallery's."""

    cpu: str = UBUNTU
    gpu: str = UBUNTU_HPC

    @property
    def lack_driver(self) -> bool:
        """Whether machines with GPUs boot what has no driver of NVIDIA's."""
        return lacks_driver(self.gpu.partition(":")[0])

    @field_validator("cpu", "gpu")
    @classmethod
    def _is_an_image(cls, image: str) -> str:
        if not image.startswith("/") and not URN.fullmatch(image):
            raise ValueError(f"{image!r} is neither a URN (publisher:offer:sku:version) nor a resource id (/…)")
        return image


class AzureConfig(CloudConfig):
    """What is in the `service_principal` file is read when it is needed, and copied nowhere. The first of `regions` is where what
    isn't of a region is asked."""

    subscription: str = Field(
        "",
        description="The id of the subscription that pays. Without it: that which `az account set` chose, or the only one that the login sees.",
    )
    tenant: str = Field("", description="Where to log in. Without it: the login's own.")
    service_principal: str = Field(
        "",
        description="A file as `az ad sp create-for-rbac` prints it. Without it: `az login`, or the managed identity of this"
        " computer.",
    )
    resource_group: str = Field(
        "",
        description="How the names of the resource groups begin, one a project and region, that hold all that is made; 40"
        " characters at most. Without it: `dstack-` and this state folder's number.",
    )
    identity: str = Field(
        "",
        description="The resource id of a user-assigned identity for the machines, instead of one that is made. That one may delete"
        " the group's machines and use the project's store; `none`: they get none, and can't delete themselves.",
    )
    storage_account: str = Field("", description="The account of the project's store (`az://container`).")
    images: Images = Field(
        Images(),
        description="What machines boot, without and with GPUs: a URN (`publisher:offer:sku:version`), or the resource id of an"
        " image or a gallery's.",
    )
    address_space: str = Field("10.213.0.0/16", description="That of the virtual networks.")

    @field_validator("subscription")
    @classmethod
    def _is_an_id(cls, subscription: str) -> str:
        if subscription and not UUID.fullmatch(subscription):
            raise ValueError(f"{subscription!r} isn't a subscription's id (`az account list -o table` shows it)")
        return subscription.lower()

    @field_validator("service_principal")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        return str(Path(path).expanduser()) if path else ""

    @field_validator("regions")
    @classmethod
    def _are_names(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        """ "East US" is what the portal calls eastus."""
        return tuple(dict.fromkeys(region.lower().replace(" ", "") for region in regions))

    @field_validator("resource_group")
    @classmethod
    def _is_a_name(cls, group: str) -> str:
        if group and not GROUP.fullmatch(group):
            raise ValueError(f"{group!r} can't begin a resource group's name: letters, digits, - _ . ( ), at most 40")
        return group

    @field_validator("identity")
    @classmethod
    def _is_an_identity(cls, identity: str) -> str:
        kind = "/providers/microsoft.managedidentity/userassignedidentities/"
        if identity not in ("", NO_IDENTITY) and kind not in identity.lower():
            raise ValueError(f"{identity!r} isn't the resource id of a user-assigned identity (or `none`)")
        return identity

    @field_validator("address_space")
    @classmethod
    def _is_a_network(cls, network: str) -> str:
        return str(ipaddress.IPv4Network(network, strict=False))

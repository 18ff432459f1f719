"""What a project may set about AWS."""

from __future__ import annotations

from pydantic import Field, field_validator

from dstack_cloud.backends.base.settings import CloudConfig
from dstack_cloud.domain.resources import Frozen

# what URLs of the cloud's object store begin with
SCHEME = "s3"
# Public parameters of the Systems Manager, looked up in each region:
# https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
# https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html (driver, Docker and NVIDIA's container toolkit are in it)
DEEP_LEARNING = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
NO_IDENTITY = "none"


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


class AwsConfig(CloudConfig):
    """Credentials are never copied from where the profile has them."""

    profile: str = Field("", description="A profile of `~/.aws`. Without it: the default one.")
    vpc: str = Field("", description="Where machines are put, instead of each region's default VPC.")
    subnets: tuple[str, ...] = Field(
        (), description="The subnets that machines are put into, instead of those of a VPC."
    )
    instance_profile: str = Field(
        "",
        description="The identity of the machines, instead of one that is made. That one may touch the project's store and nothing"
        " else; `none`: they get none, and the server carries their objects or lends them credentials.",
    )
    lend_role: str = Field(
        "",
        description="The ARN of a role from which short-lived credentials for the store are taken, for machines elsewhere, where"
        " you are logged in with a role yourself.",
    )
    images: Images = Field(
        Images(),
        description="What machines boot, without and with GPUs: an AMI's id, or the name of a Systems Manager parameter that holds"
        " one.",
    )

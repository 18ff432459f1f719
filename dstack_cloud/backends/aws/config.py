"""What a project may set about AWS."""

from __future__ import annotations

from pydantic import field_validator

from dstack_cloud.backends.base.settings import CloudConfig
from dstack_cloud.domain.resources import Frozen

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


class AwsConfig(CloudConfig):
    """`profile` is one of ~/.aws; empty: the default. Credentials are never copied from there.

    `regions`: empty is the profile's own. `vpc` or `subnets` are used instead of each region's default VPC. `instance_profile` is the identity of the machines; empty: one is made that may
    touch the project's store and nothing else; "none": they get none. `lend_role` is the ARN of a role from which short-lived
    credentials for the store are taken, for machines elsewhere.
    """

    profile: str = ""
    vpc: str = ""
    subnets: tuple[str, ...] = ()
    instance_profile: str = ""
    lend_role: str = ""
    images: Images = Images()

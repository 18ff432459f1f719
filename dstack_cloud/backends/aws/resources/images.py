"""What machines boot: an AMI of each region, and where its root volume is."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.errors import InvalidConfiguration

# the parameters name a newer image every few weeks
AGE_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Image:
    """`size` is bytes of the smallest root volume that holds it."""

    id: str
    device: str
    size: int


class Catalogue:
    """Images by region and by name, each looked up once. Threads share it."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client
        self._found = Memory[tuple[str, str], Image](AGE_SECONDS)

    def find(self, region: str, name: str) -> Image:
        """`name` is an AMI's id or a parameter's name. Raises InvalidConfiguration where that region has none."""
        return self._found.get((region, name), lambda: self._look(region, name))

    def _look(self, region: str, name: str) -> Image:
        where = f"{region} {name}"
        with translated(where):
            id = self._client.ssm(region).get_parameter(Name=name)["Parameter"]["Value"] if name[0] == "/" else name
            found = self._client.ec2(region).describe_images(ImageIds=[id])["Images"]
        if not found:
            raise InvalidConfiguration(f"{region} has no image {id}", "set `images` to what every region has")
        device = found[0].get("RootDeviceName", "")
        volumes = {each.get("DeviceName"): each.get("Ebs", {}) for each in found[0].get("BlockDeviceMappings", [])}
        if not device or device not in volumes:
            raise InvalidConfiguration(f"the image {id} in {region} has no root volume", "choose one with an EBS root")
        return Image(id, device, volumes[device].get("VolumeSize", 8) * GIB)

"""What machines boot: an image of the marketplace, the newest version in each region, or one of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import UBUNTU, UBUNTU_HPC, lacks_driver
from dstack_cloud.backends.azure.errors import OWN_IMAGES, translated
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.errors import InvalidConfiguration

# images get a newer version every few weeks
AGE_SECONDS = 6 * 3600.0
# no list tells how large an image's disk is: https://learn.microsoft.com/azure/virtual-machines/azure-hpc-vm-images
ORDINARY_SIZE, LARGE_SIZE = 30 * GIB, 64 * GIB
PARTS = ("publisher", "offer", "sku", "version")
LATEST = "latest"


@dataclass(frozen=True)
class Image:
    """`reference` is what a machine's request says of it, `plan` what it says of an image that a third party sells. `size` is
    bytes of the smallest OS disk that holds it."""

    reference: Mapping[str, str]
    size: int
    plan: Mapping[str, str] = field(default_factory=dict)

    @property
    def lacks_driver(self) -> bool:
        """Whether NVIDIA's has to be installed where there are GPUs."""
        return lacks_driver(self.reference.get("publisher", ""))


class Catalogue:
    """Images by region and by name, each looked up once. Threads share it."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client
        self._found = Memory[tuple[str, str], Image](AGE_SECONDS)

    def find(self, region: str, name: str) -> Image:
        """`name` is a URN or a resource id. Raises InvalidConfiguration where that region has none."""
        if name.startswith("/"):
            return Image({"id": name}, ORDINARY_SIZE)
        if name in (UBUNTU, UBUNTU_HPC):
            # sold by nobody, and in every region
            return Image(_reference(name), LARGE_SIZE if name == UBUNTU_HPC else ORDINARY_SIZE)
        return self.look(region, name)

    def look(self, region: str, urn: str) -> Image:
        """The same of a URN that may not be there."""
        return self._found.get((region, urn), lambda: self._look(region, urn))

    def _look(self, region: str, urn: str) -> Image:
        asked = _reference(urn)
        publisher, offer, sku, version = (asked[part] for part in PARTS)
        images = self._client.compute().virtual_machine_images
        with translated(f"{region} {urn}"):
            if version == LATEST:
                newest = images.list(region, publisher, offer, sku, top=1, orderby="name desc")
                version = next((str(each.name) for each in newest), "")
            if not version:
                raise InvalidConfiguration(f"{region} has no image {urn}", OWN_IMAGES, scope="region")
            found = images.get(region, publisher, offer, sku, version).as_dict().get("properties") or {}
        plan = found.get("plan") or {}
        named = {key: str(plan[key]) for key in ("name", "publisher", "product") if key in plan}
        return Image({**asked, "version": version}, ORDINARY_SIZE, named)


def _reference(urn: str) -> dict[str, str]:
    return dict(zip(PARTS, urn.split(":"), strict=True))

"""The public images that a machine of this product may boot, and the families whose newest they are.

https://cloud.google.com/compute/docs/images/os-details and https://cloud.google.com/deep-learning-vm/docs/images
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.places import LINK, number, path_of
from tests.fakes.gcp.wire import Json, Refusal


@dataclass(frozen=True)
class Image:
    """`size_gb` is the least that a disk of it has."""

    project: str
    family: str
    name: str
    size_gb: int


IMAGES = (
    Image("ubuntu-os-cloud", "ubuntu-2404-lts-amd64", "ubuntu-2404-noble-amd64-v20251002", 10),
    Image("ubuntu-os-cloud", "ubuntu-2204-lts", "ubuntu-2204-jammy-v20251002", 10),
    Image("debian-cloud", "debian-12", "debian-12-bookworm-v20251014", 10),
    Image("debian-cloud", "debian-13", "debian-13-trixie-v20251014", 10),
    Image("ubuntu-os-accelerator-images", "ubuntu-accelerator-2404-amd64-with-nvidia-570", "ubuntu-accelerator-2404-amd64-with-nvidia-570-v20251002", 20),
    Image("ubuntu-os-accelerator-images", "ubuntu-accelerator-2404-amd64-with-nvidia-580", "ubuntu-accelerator-2404-amd64-with-nvidia-580-v20251002", 20),
    Image("deeplearning-platform-release", "common-cu128-ubuntu-2204-nvidia-570", "common-cu128-ubuntu-2204-nvidia-570-v20251009", 50),
    Image("deeplearning-platform-release", "common-cu129-ubuntu-2204-nvidia-580", "common-cu129-ubuntu-2204-nvidia-580-v20251009", 50),
    Image("deeplearning-platform-release", "common-cu129-ubuntu-2404-nvidia-580", "common-cu129-ubuntu-2404-nvidia-580-v20251009", 50),
)  # fmt: skip


def find(reference: str, scope: str) -> Image | None:
    """By "projects/p/global/images/NAME" or ".../images/family/FAMILY"."""
    path = path_of(reference, scope)
    for image in IMAGES:
        where = f"projects/{image.project}/global/images"
        if path in (f"{where}/{image.name}", f"{where}/family/{image.family}"):
            return image
    return None


def handlers() -> Mapping[str, Handler]:
    return {"compute.images.get": _get, "compute.images.getFromFamily": _get}


def _get(call: Call) -> Json:
    image = find(call.path, "")
    if image is None:
        raise Refusal(404, f"The resource '{call.path}' was not found", "notFound")
    return {
        "kind": "compute#image",
        "id": number(image.name),
        "creationTimestamp": "2025-10-09T01:20:08.117-07:00",
        "name": image.name,
        "family": image.family,
        "status": "READY",
        "sourceType": "RAW",
        "architecture": "X86_64",
        "diskSizeGb": str(image.size_gb),
        "archiveSizeBytes": str(image.size_gb * 2**28),
        "selfLink": f"{LINK}projects/{image.project}/global/images/{image.name}",
    }

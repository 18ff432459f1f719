"""Images of the marketplace, and their versions.

https://learn.microsoft.com/en-us/rest/api/compute/virtual-machine-images
"""

from __future__ import annotations

from tests.fakes.azure.arm import Handler, Request
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.catalogue import IMAGES, VERSIONS
from tests.fakes.azure.envelope import check_location
from tests.fakes.azure.world import SUBSCRIPTION_ID, World


def _place(request: Request) -> tuple[str, str]:
    """The location, and the path of the sku below it. Raises Refusal for an image that isn't there."""
    params = request.params
    location = check_location(params["location"], "Microsoft.Compute/locations/publishers")
    names = tuple(params[name] for name in ("publisherName", "offer", "skus"))
    if tuple(name.lower() for name in names) not in IMAGES:
        raise Refusal("NotFound", f"Artifact: VMImage was not found: {':'.join(names)}.")
    publisher, offer, sku = names
    return location, f"Publishers/{publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions"


def _named(location: str, path: str, version: str) -> Json:
    id = f"{SUBSCRIPTION_ID}/Providers/Microsoft.Compute/Locations/{location}/{path}/{version}"
    return {"id": id, "name": version, "location": location}


def _list(world: World, request: Request) -> Answer:
    """A bare array, as the real one is."""
    location, path = _place(request)
    versions = sorted(VERSIONS, reverse=request.call.query.get("$orderby", "").endswith("desc"))
    most = int(request.call.query.get("$top", len(versions)))
    return Answer(200, [_named(location, path, version) for version in versions[:most]])


def _get(world: World, request: Request) -> Answer:
    location, path = _place(request)
    version = request.params["version"]
    if version not in VERSIONS:
        raise Refusal("NotFound", f"Artifact: VMImage was not found: version {version}.")
    arm = request.params["skus"].endswith("arm64")
    properties = {
        **{"hyperVGeneration": "V2", "architecture": "Arm64" if arm else "x64"},
        **{"osDiskImage": {"operatingSystem": "Linux"}, "dataDiskImages": []},
    }
    return Answer(200, {**_named(location, path, version), "properties": properties})


HANDLERS: dict[str, Handler] = {"virtual_machine_images.list": _list, "virtual_machine_images.get": _get}
MODELS = {
    "virtual_machine_images.list": ("", "each compute.VirtualMachineImageResource"),
    "virtual_machine_images.get": ("", "compute.VirtualMachineImage"),
}

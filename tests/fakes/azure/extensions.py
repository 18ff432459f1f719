"""Virtual machines' extensions: of all that there are, the one that installs NVIDIA's driver.

https://learn.microsoft.com/en-us/azure/virtual-machines/extensions/hpccompute-gpu-linux
"""

from __future__ import annotations

import copy

from tests.fakes.azure import operations
from tests.fakes.azure.arm import Request, Service
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.catalogue import SIZES
from tests.fakes.azure.compute import life_of
from tests.fakes.azure.envelope import check_location, check_tags
from tests.fakes.azure.launches import MACHINES, invalid, missing
from tests.fakes.azure.world import Life, Resource, World

EXTENSION = "compute.VirtualMachineExtension"
EXTENSIONS = f"{MACHINES}/extensions"
# publisher and type, in lower case: its versions
KNOWN = {("microsoft.hpccompute", "nvidiagpudriverlinux"): ("1.6", "1.9", "1.11")}
NO_GPU = (
    "VMExtensionProvisioningError",
    "VM has reported a failure when processing extension 'NvidiaGpuDriverLinux' (publisher 'Microsoft.HpcCompute' and type 'NvidiaGpuDriverLinux'). Error message: 'No NVIDIA GPU was found.'",
)


def _put(world: World, request: Request) -> Answer:
    vm = _machine(world, request)
    life = life_of(world, vm)
    _check(request.body, vm, life)
    known = world.find(request.id)
    made = world.put(Resource(known.id if known else request.id, EXTENSIONS, copy.deepcopy(request.body)))
    made.properties.pop("protectedSettings", None)
    made.properties["provisioningState"] = "Updating" if known else "Creating"
    vm.properties["provisioningState"] = "Updating"

    def ended(state: str) -> None:
        # a machine whose extension failed is told as failed, and runs all the same
        made.properties["provisioningState"] = vm.properties["provisioningState"] = state

    operation = operations.begin(world, request, life.region, lambda: ended("Succeeded"), lambda: ended("Failed"))
    if not SIZES[life.type.lower()].gpus:
        operation.failure = NO_GPU
    world.extensions[made.id.lower()] = operation
    return operations.answered(world, request, operation, status=200 if known else 201, body=made.view())


def _machine(world: World, request: Request) -> Resource:
    """Raises Refusal."""
    id, _, _ = request.id.partition("/extensions")
    found = world.find(id)
    if found is None:
        why = f"Can not perform requested operation on nested resource. Parent resource '{id.rpartition('/')[2]}' not found."
        raise Refusal("ParentResourceNotFound", why)
    return found


def _check(body: Json, vm: Resource, life: Life) -> None:
    """Raises Refusal."""
    location, properties = check_location(body.get("location"), EXTENSIONS), body.get("properties") or {}
    check_tags(body.get("tags"))
    if location != life.region:
        raise invalid(f"The location '{location}' isn't that of the virtual machine, '{life.region}'.", "location")
    for name in ("publisher", "type", "typeHandlerVersion"):
        if not properties.get(name):
            raise missing(f"extension.properties.{name}")
    versions = KNOWN.get((properties["publisher"].lower(), properties["type"].lower()))
    if versions is None or properties["typeHandlerVersion"] not in versions:
        why = f"The VM extension with publisher '{properties['publisher']}' and type '{properties['type']}' could not be found in location '{location}'."
        raise Refusal("ArtifactNotFound", why, status=404)
    if life.state == "creating":
        raise Refusal(
            "Conflict", f"The request failed due to conflict with a concurrent request: '{vm.name}' is being made."
        )
    if life.state != "running":
        raise Refusal("OperationNotAllowed", "Cannot modify extensions in the VM when the VM is not running.")


def _get(world: World, request: Request) -> Answer:
    _machine(world, request)
    return Answer(200, _view(world, world.get(request.id, EXTENSIONS), request))


def _list(world: World, request: Request) -> Answer:
    found = world.of_type(EXTENSIONS, f"{_machine(world, request).id}/")
    return Answer(200, {"value": [_view(world, each, request) for each in found]})


def _view(world: World, extension: Resource, request: Request) -> Json:
    """With its instance view where that is asked for."""
    expand, found = request.call.query.get("$expand", ""), extension.view()
    if expand.lower() not in ("", "instanceview"):
        raise invalid(f"The value '{expand}' of parameter '$expand' is invalid.", "$expand")
    if expand:
        state, failure = extension.properties["provisioningState"], world.extensions[extension.id.lower()].failure
        status = {"code": f"ProvisioningState/{state.lower()}", "displayStatus": state, "level": "Info"}
        if state == "Failed" and failure:
            status |= {"code": f"ProvisioningState/failed/{failure[0]}", "message": failure[1], "level": "Error"}
        found["properties"]["instanceView"] = {"name": extension.name, "statuses": [status]}
    return found


def _delete(world: World, request: Request) -> Answer:
    vm, found = _machine(world, request), world.find(request.id)
    if found is None:
        return Answer(204)
    operation = operations.begin(world, request, life_of(world, vm).region, lambda: world.drop(found.id))
    return operations.answered(world, request, operation, status=202)


_NAME = "virtual_machine_extensions"
SERVICE = Service(
    {
        f"{_NAME}.create_or_update": _put,
        f"{_NAME}.get": _get,
        f"{_NAME}.list": _list,
        f"{_NAME}.delete": _delete,
    },
    {
        f"{_NAME}.create_or_update": (EXTENSION, EXTENSION),
        f"{_NAME}.get": ("", EXTENSION),
        f"{_NAME}.list": ("", f"each {EXTENSION}"),
    },
)

"""Virtual machines' and disks' requests.

https://learn.microsoft.com/en-us/rest/api/compute/virtual-machines
"""

from __future__ import annotations

import base64
import copy
import math
import time
from collections.abc import Callable, Mapping

from tests.fakes.azure import images, launches, machines, operations, quotas
from tests.fakes.azure.arm import Request, Service
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.envelope import check_tags
from tests.fakes.azure.fleet import Fleet
from tests.fakes.azure.identities import check_identity, described
from tests.fakes.azure.launches import MACHINES
from tests.fakes.azure.world import SUBSCRIPTION_ID, Life, Operation, Resource, World
from tests.fakes.bodies import Birth

VM = "compute.VirtualMachine"
# what a virtual machine that is there doesn't let be changed by another PUT
FIXED = ("osProfile", "storageProfile", "networkProfile", "priority", "hardwareProfile", "evictionPolicy")


def _put(world: World, request: Request) -> Answer:
    body, known = request.body, world.find(request.id)
    order = launches.read(body)
    if known is not None and request.call.headers.get("if-none-match") == "*":
        why = f"The condition 'If-None-Match: *' isn't met: the resource '{known.name}' exists."
        raise Refusal("PreconditionFailed", why)
    check_identity(world, request, body.get("identity"))
    if known is None:
        quotas.check(world, order)
        life = machines.make(world, request.id, body, order)
    else:
        life = life_of(world, known)
        if life.state != "failed":
            return _change(world, request, known, life)
        quotas.check(world, order)
        machines.remove(world, life)
        life = machines.make(world, known.id, body, order)
    operation = _begin_creation(world, request, life)
    status = 201 if known is None else 200
    return operations.answered(
        world, request, operation, status=status, body=view(world, world.get(life.resource, MACHINES))
    )


def _begin_creation(world: World, request: Request, life: Life) -> Operation:
    operation = operations.begin(
        world,
        request,
        life.region,
        lambda: machines.settled(world, life),
        lambda: machines.fail(world, life),
    )
    life.creation = operation
    if world.machines is not None and not operation.failure:
        operation.due = math.inf
        data = life.asked["properties"]["osProfile"].get("customData", "")
        identities = ((life.asked.get("identity") or {}).get("userAssignedIdentities")) or {}
        identity = next(iter(identities), "")
        world.machines.boot(
            Birth(life.id, life.region, life.zone, life.type, life.spot, base64.b64decode(data).decode(), identity)
        )
    return operation


def _change(world: World, request: Request, known: Resource, life: Life) -> Answer:
    """A PUT of a machine that is there: tags and identity may change."""
    _check_not_deleting(known, life, "Put")
    before, after = life.asked, request.body
    if before["location"].lower() != str(after["location"]).lower():
        raise Refusal(
            "InvalidResourceLocation", f"The resource '{known.name}' already exists in location '{life.region}'."
        )
    for name in FIXED:
        if before["properties"].get(name) != after["properties"].get(name):
            raise Refusal("PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name)
    if (before.get("zones") or []) != (after.get("zones") or []):
        raise Refusal("PropertyChangeNotAllowed", "Changing property 'zones' is not allowed.", target="zones")
    known.body["tags"] = dict(after.get("tags") or {})
    if after.get("identity"):
        known.body["identity"] = copy.deepcopy(after["identity"])
    operation = operations.begin(world, request, life.region)
    return operations.answered(world, request, operation, status=200, body=view(world, known))


def _patch(world: World, request: Request) -> Answer:
    known = world.get(request.id, MACHINES)
    life = life_of(world, known)
    _check_not_deleting(known, life, "Patch")
    body = request.body
    if body.get("properties"):
        name = next(iter(body["properties"]))
        raise Refusal("PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name)
    check_tags(body.get("tags"))
    check_identity(world, request, body.get("identity"))
    known.body |= {name: copy.deepcopy(body[name]) for name in ("tags", "identity") if name in body}
    operation = operations.begin(world, request, life.region)
    return operations.answered(world, request, operation, status=200, body=view(world, known))


def _check_not_deleting(known: Resource, life: Life, verb: str) -> None:
    if life.state == "deleting":
        why = f"Operation '{verb}' is not allowed on VM '{known.name}' since the VM is marked for deletion. You can only retry the Delete operation (or wait for an ongoing one to complete)."
        raise Refusal("OperationNotAllowed", why)


def _get(world: World, request: Request) -> Answer:
    found = world.get(request.id, MACHINES)
    expand = request.call.query.get("$expand", "")
    if expand.lower() not in ("", "instanceview", "userdata"):
        raise Refusal("InvalidParameter", f"The value '{expand}' of parameter '$expand' is invalid.", target="$expand")
    return Answer(200, view(world, found, whole=expand.lower() == "instanceview"))


def _instance_view(world: World, request: Request) -> Answer:
    found = world.get(request.id.rpartition("/")[0], MACHINES)
    return Answer(200, _statuses(found, life_of(world, found)))


def _list(prefix: Callable[[Request], str]) -> Callable[[World, Request], Answer]:
    def listed(world: World, request: Request) -> Answer:
        query = request.call.query
        whole = query.get("$expand", "").lower() == "instanceview" or query.get("statusOnly") == "true"
        found = world.listed(MACHINES, prefix(request))
        return Answer(200, {"value": [view(world, each, whole=whole) for each in found]})

    return listed


def _delete(world: World, request: Request) -> Answer:
    found = world.find(request.id)
    if found is None:
        return Answer(204)
    life = life_of(world, found)
    before, life.state = life.state, "deleting"
    found.properties["provisioningState"] = "Deleting"

    def setback() -> None:
        life.state, found.properties["provisioningState"] = before, "Failed"

    operation = operations.begin(world, request, life.region, lambda: machines.remove(world, life), setback)
    if world.machines is not None and request.fault is None:
        operation.due, life.deletion = math.inf, operation
        world.machines.end(life.id)
    return operations.answered(world, request, operation, status=202)


def _power(state: str) -> Callable[[World, Request], Answer]:
    def changed(world: World, request: Request) -> Answer:
        found = world.get(request.id.rpartition("/")[0], MACHINES)
        life = life_of(world, found)
        _check_not_deleting(found, life, "power")
        if state == "running" and world.machines is not None and life.state != "running":
            raise Refusal(
                "NotImplemented", "the emulated Azure doesn't start machines again that have a body", status=501
            )

        def effect() -> None:
            life.state = state
            if world.machines is not None and state != "running":
                world.machines.end(life.id)

        operation = operations.begin(world, request, life.region, effect)
        return operations.answered(world, request, operation, status=202)

    return changed


def _evict(world: World, request: Request) -> Answer:
    """The simulation of an eviction that the real one has; within half an hour there, at once here."""
    found = world.get(request.id.rpartition("/")[0], MACHINES)
    life = life_of(world, found)
    if not life.spot:
        raise Refusal(
            "OperationNotAllowed", "The operation simulateEviction is only supported for Azure Spot machines."
        )
    Fleet(world).interrupt(life.id, 0.1)
    return Answer(204)


def life_of(world: World, vm: Resource) -> Life:
    found: str = vm.properties["vmId"]
    return world.lives[found]


def view(world: World, vm: Resource, *, whole: bool = False) -> Json:
    """As an answer says it. `whole`: with its instance view."""
    found = vm.view()
    if found.get("identity"):
        found["identity"] = described(world, found["identity"])
    if whole:
        found["properties"]["instanceView"] = _statuses(vm, life_of(world, vm))
    return found


def _statuses(vm: Resource, life: Life) -> Json:
    provisioning = vm.properties["provisioningState"]
    now = operations.iso(time.time())
    level = "Error" if provisioning == "Failed" else "Info"
    found = [
        {
            "code": f"ProvisioningState/{provisioning.lower()}",
            "level": level,
            "displayStatus": provisioning,
            "time": now,
        }
    ]
    if provisioning == "Failed" and life.creation and life.creation.failure:
        code, message = life.creation.failure
        found[0] |= {"code": f"ProvisioningState/failed/{code}", "message": message}
    if state := machines.power(life):
        found.append({"code": f"PowerState/{state}", "level": "Info", "displayStatus": f"VM {state}"})
    return {"computerName": vm.properties["osProfile"]["computerName"], "osName": "ubuntu", "statuses": found}


def facts(world: World, request: Request) -> Mapping[str, str]:
    """What a creation asks for, or what the machine is that a request is about."""
    if request.match.route.operation == "virtual_machines.create_or_update":
        # nobody has looked at the body yet: it may be anything
        body = _object(request.call.body)
        properties, zones = _object(body.get("properties")), body.get("zones")
        size = str(_object(properties.get("hardwareProfile")).get("vmSize", ""))
        spot = str(properties.get("priority", "")).lower() == "spot"
        zone = str(zones[0]) if isinstance(zones, list) and zones else ""
        return {"type": size, "zone": zone, "market": "spot" if spot else "on-demand"}
    vm = world.find(request.id)
    if vm is None or vm.type != MACHINES:
        return {}
    life = life_of(world, vm)
    market = "spot" if life.spot else "on-demand"
    return {"type": life.type, "zone": life.zone, "market": market, "region": life.region}


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


SERVICE = Service(
    {
        "virtual_machines.create_or_update": _put,
        "virtual_machines.update": _patch,
        "virtual_machines.get": _get,
        "virtual_machines.instance_view": _instance_view,
        "virtual_machines.delete": _delete,
        "virtual_machines.list": _list(lambda request: f"{request.group}/"),
        "virtual_machines.list_all": _list(lambda _: f"{SUBSCRIPTION_ID}/"),
        "virtual_machines.power_off": _power("stopped"),
        "virtual_machines.deallocate": _power("deallocated"),
        "virtual_machines.start": _power("running"),
        "virtual_machines.restart": _power("running"),
        "virtual_machines.simulate_eviction": _evict,
        **machines.DISK.handlers(),
        **quotas.HANDLERS,
        **images.HANDLERS,
    },
    {
        "virtual_machines.create_or_update": (VM, VM),
        "virtual_machines.update": ("compute.VirtualMachineUpdate", VM),
        "virtual_machines.get": ("", VM),
        "virtual_machines.instance_view": ("", "compute.VirtualMachineInstanceView"),
        "virtual_machines.list": ("", f"each {VM}"),
        "virtual_machines.list_all": ("", f"each {VM}"),
        **machines.DISK.models(),
        **quotas.MODELS,
        **images.MODELS,
    },
    facts,
)

"""Resource groups, what is in them, services' registration, subscriptions and locations.

https://learn.microsoft.com/en-us/rest/api/resources/
"""

from __future__ import annotations

import re

from tests.fakes.azure import operations
from tests.fakes.azure.arm import Request, Service
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.catalogue import LOCATIONS
from tests.fakes.azure.directory import TENANT
from tests.fakes.azure.envelope import check_location, check_tags
from tests.fakes.azure.world import ALWAYS, DELETED, NAMESPACES, SUBSCRIPTION, SUBSCRIPTION_ID, Resource, World

GROUP = "Microsoft.Resources/resourceGroups"
# whose types can be made, and which
KINDS = {
    "Microsoft.Compute": ("virtualMachines", "disks"),
    "Microsoft.Network": ("virtualNetworks", "networkSecurityGroups", "networkInterfaces", "publicIPAddresses"),
    "Microsoft.ManagedIdentity": ("userAssignedIdentities",),
    "Microsoft.Authorization": ("roleAssignments", "roleDefinitions"),
    ALWAYS: ("resourceGroups", "subscriptions"),
}


def _put(world: World, request: Request) -> Answer:
    body = dict(request.body)
    name = request.params["resourceGroupName"]
    if not re.fullmatch(r"[-\w.()]{0,89}[-\w()]", name):
        why = f"The provided resource group name '{name}' has these invalid characters or is too long."
        raise Refusal("InvalidResourceGroup", why)
    location = check_location(body.get("location"), GROUP)
    check_tags(body.get("tags"))
    known = world.find(request.id)
    if known is not None and known.body["location"] != location:
        why = f"Invalid resource group location '{location}'. The Resource group already exists in location '{known.body['location']}'."
        raise Refusal("InvalidResourceGroupLocation", why)
    if known is not None and known.properties["provisioningState"] == "Deleting":
        raise Refusal("ResourceGroupBeingDeleted", f"The resource group '{name}' is in deprovisioning state.")
    body |= {"location": location, "properties": {"provisioningState": "Succeeded"}}
    id = f"{SUBSCRIPTION_ID}/resourceGroups/{name}"
    made = world.put(Resource(known.id if known else id, GROUP, body))
    return Answer(200 if known else 201, made.view())


def _found(world: World, request: Request) -> Resource:
    found = world.find(request.group)
    if found is None:
        name = request.params["resourceGroupName"]
        raise Refusal("ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    return found


def _get(world: World, request: Request) -> Answer:
    return Answer(200, _found(world, request).view())


def _exists(world: World, request: Request) -> Answer:
    return Answer(204 if world.find(request.group) else 404)


def _list(world: World, request: Request) -> Answer:
    return Answer(200, {"value": [each.view() for each in world.listed(GROUP, SUBSCRIPTION_ID)]})


def _delete(world: World, request: Request) -> Answer:
    """With everything in it."""
    found = _found(world, request)
    found.properties["provisioningState"] = "Deleting"

    def effect() -> None:
        prefix = f"{found.id.lower()}/"
        for life in world.lives.values():
            if life.resource.lower().startswith(prefix) and not life.ended:
                life.state = DELETED
                if world.machines is not None:
                    world.machines.end(life.id)
        for id in [id for id in world.resources if id.startswith(prefix) or id == found.id.lower()]:
            del world.resources[id]

    operation = operations.begin(world, request, found.body["location"], effect)
    return operations.answered(world, request, operation, status=202)


def _resources(world: World, request: Request) -> Answer:
    prefix = request.group if "resourceGroupName" in request.params else SUBSCRIPTION_ID
    wanted = dict(re.findall(r"(\w+) eq '([^']*)'", request.call.query.get("$filter", "")))
    found = []
    for each in list(world.resources.values()):
        inside = each.id.lower().startswith(f"{prefix.lower()}/") and each.type != GROUP
        readable = inside and world.directory.may(request.caller, f"{each.type}/read", each.id)
        if readable and _fits(each, wanted):
            known = each.view()
            found.append({name: known[name] for name in ("id", "name", "type", "location", "tags") if name in known})
    return Answer(200, {"value": found})


def _fits(each: Resource, wanted: dict[str, str]) -> bool:
    """https://learn.microsoft.com/en-us/rest/api/resources/resources/list#uri-parameters"""
    tags = each.body.get("tags") or {}
    if "tagName" in wanted and tags.get(wanted["tagName"], None) is None:
        return False
    if "tagValue" in wanted and tags.get(wanted.get("tagName", "")) != wanted["tagValue"]:
        return False
    if wanted.get("name", each.name).lower() != each.name.lower():
        return False
    return wanted.get("resourceType", each.type).lower() == each.type.lower()


def _register(world: World, request: Request) -> Answer:
    world.registered.add(_namespace(request).lower())
    return _provider(world, request)


def _unregister(world: World, request: Request) -> Answer:
    world.registered.discard(_namespace(request).lower())
    return _provider(world, request)


def _namespace(request: Request) -> str:
    asked = request.params["resourceProviderNamespace"]
    found = next((name for name in KINDS if name.lower() == asked.lower()), None)
    if found is None:
        raise Refusal("InvalidResourceNamespace", f"The resource namespace '{asked}' is invalid.")
    return found


def _provider(world: World, request: Request) -> Answer:
    return Answer(200, _described(world, _namespace(request)))


def _described(world: World, name: str) -> Json:
    places = [place.display for place in LOCATIONS.values()]
    kinds = [{"resourceType": kind, "locations": places} for kind in KINDS[name]]
    state = "Registered" if name.lower() in world.registered else "NotRegistered"
    id = f"{SUBSCRIPTION_ID}/providers/{name}"
    return {"id": id, "namespace": name, "resourceTypes": kinds, "registrationState": state}


def _providers(world: World, request: Request) -> Answer:
    return Answer(200, {"value": [_described(world, name) for name in (*NAMESPACES, ALWAYS)]})


def _subscription(world: World) -> Json:
    return {
        **{"id": SUBSCRIPTION_ID, "subscriptionId": SUBSCRIPTION, "tenantId": TENANT, "displayName": "Emulated"},
        **{"state": "Disabled" if world.settings.disabled else "Enabled", "authorizationSource": "RoleBased"},
        "subscriptionPolicies": {"quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    }


def _subscriptions(world: World, request: Request) -> Answer:
    may = world.directory.may(request.caller, "Microsoft.Resources/subscriptions/read", SUBSCRIPTION_ID)
    return Answer(200, {"value": [_subscription(world)] if may else []})


def _locations(world: World, request: Request) -> Answer:
    found = []
    for place in LOCATIONS.values():
        zones = [{"logicalZone": zone, "physicalZone": f"{place.name}-az{zone}"} for zone in place.zones]
        known = {"id": f"{SUBSCRIPTION_ID}/locations/{place.name}", "name": place.name, "displayName": place.display}
        more = {"availabilityZoneMappings": zones} if zones else {}
        found.append({**known, "type": "Region", "metadata": {"regionType": "Physical"}, **more})
    return Answer(200, {"value": found})


SERVICE = Service(
    {
        "resource_groups.create_or_update": _put,
        "resource_groups.get": _get,
        "resource_groups.check_existence": _exists,
        "resource_groups.list": _list,
        "resource_groups.delete": _delete,
        "resources.list": _resources,
        "resources.list_by_resource_group": _resources,
        "providers.get": _provider,
        "providers.list": _providers,
        "providers.register": _register,
        "providers.unregister": _unregister,
        "subscriptions.list": _subscriptions,
        "subscriptions.get": lambda world, request: Answer(200, _subscription(world)),
        "subscriptions.list_locations": _locations,
    },
    {
        "resource_groups.create_or_update": ("resources.ResourceGroup", "resources.ResourceGroup"),
        "resource_groups.get": ("", "resources.ResourceGroup"),
        "resource_groups.list": ("", "each resources.ResourceGroup"),
        "resources.list": ("", "each resources.GenericResourceExpanded"),
        "resources.list_by_resource_group": ("", "each resources.GenericResourceExpanded"),
        "providers.get": ("", "resources.Provider"),
        "providers.register": ("", "resources.Provider"),
    },
)

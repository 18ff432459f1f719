"""User-assigned identities, roles, and who has which: small services, described here by hand.

https://learn.microsoft.com/en-us/rest/api/managedidentity/user-assigned-identities
https://learn.microsoft.com/en-us/rest/api/authorization/role-definitions and …/role-assignments
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping

from tests.fakes.azure.arm import Request, Service
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.directory import MANAGEMENT, STORAGE, TENANT, Assignment, Principal, Role, token
from tests.fakes.azure.envelope import check_location, check_tags
from tests.fakes.azure.world import NAMESPACES, SUBSCRIPTION_ID, Resource, World

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
ROLES = f"{SUBSCRIPTION_ID}/providers/Microsoft.Authorization/roleDefinitions"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MACHINE_TOKEN_SECONDS = 24 * 3600


def _only(document: object, path: str, known: Iterable[str], required: Iterable[str] = ()) -> Json:
    """The document. Raises Refusal for a member that isn't known, or one that is missing."""
    if not isinstance(document, dict):
        raise Refusal("InvalidRequestContent", f"The request content was invalid: '{path}' must be an object.")
    for name in document:
        if name not in known:
            why = f"The request content was invalid and could not be deserialized: 'Could not find member '{name}' on object of type '{path}'. Path '{name}', line 1, position 1.'."
            raise Refusal("InvalidRequestContent", why)
    for name in required:
        if not document.get(name):
            raise Refusal("BadRequestFormat", f"The request was incorrectly formatted: '{name}' is missing.")
    return document


def _put(world: World, request: Request) -> Answer:
    body = _only(request.body, "Identity", ("location", "tags", "properties"))
    _only(body.get("properties") or {}, "IdentityProperties", ("isolationScope",))
    location = check_location(body.get("location"), IDENTITIES)
    check_tags(body.get("tags"))
    known = world.find(request.id)
    if known is not None:
        known.body["tags"] = body.get("tags") or {}
        return Answer(200, known.view())
    principal = world.directory.add()
    properties = {"tenantId": TENANT, "principalId": principal.id, "clientId": principal.client}
    document = {"location": location, "tags": body.get("tags") or {}, "properties": properties}
    return Answer(201, world.put(Resource(request.id, IDENTITIES, document)).view())


def _delete(world: World, request: Request) -> Answer:
    found = world.find(request.id)
    if found is None:
        return Answer(204)
    world.directory.principals.pop(found.properties["clientId"], None)
    world.drop(found.id)
    return Answer(200)


def _list(world: World, prefix: str) -> Answer:
    return Answer(200, {"value": [each.view() for each in world.listed(IDENTITIES, f"{prefix}/")]})


def check_identity(world: World, request: Request, asked: Json | None) -> None:
    """Raises Refusal for identities that aren't there."""
    for id in (asked or {}).get("userAssignedIdentities") or {}:
        if world.find(id) is None:
            inner = f'{{"error":{{"code":"BadRequest","message":"Resource \'{id}\' was not found."}}}}'
            why = f"Identity operation for resource '{request.id}' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. Response: '{inner}'.'."
            raise Refusal("FailedIdentityOperation", why)


def described(world: World, asked: Json) -> Json:
    """A machine's identities as an answer says them."""
    found = {}
    for id in asked.get("userAssignedIdentities") or {}:
        known = world.find(id)
        properties = known.properties if known else {}
        found[id] = {name: properties[name] for name in ("principalId", "clientId") if name in properties}
    return {"type": asked.get("type", "UserAssigned"), **({"userAssignedIdentities": found} if found else {})}


def documents(world: World, identity: str) -> Mapping[str, str]:
    """The tokens that a machine's metadata service has for it, by path and resource.

    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    """
    known = world.find(identity)
    if known is None:
        return {}
    principal = world.directory.principals[known.properties["clientId"]]
    path = "/metadata/identity/oauth2/token"
    return {f"{path}?resource={name}": _token(principal, name) for name in (MANAGEMENT, STORAGE)}


def _token(principal: Principal, resource: str) -> str:
    now = int(time.time())
    found = {
        **{"access_token": token(principal, resource, MACHINE_TOKEN_SECONDS), "client_id": principal.client},
        **{"expires_in": str(MACHINE_TOKEN_SECONDS), "expires_on": str(now + MACHINE_TOKEN_SECONDS)},
        **{"ext_expires_in": str(MACHINE_TOKEN_SECONDS), "not_before": str(now), "token_type": "Bearer"},
        "resource": resource,
    }
    return json.dumps(found)


def _put_role(world: World, request: Request) -> Answer:
    body = _only(request.body, "RoleDefinition", ("properties", "name", "id", "type"), ("properties",))
    known = ("roleName", "description", "type", "permissions", "assignableScopes")
    properties = _only(
        body["properties"], "RoleDefinitionProperties", known, ("roleName", "permissions", "assignableScopes")
    )
    name = request.params["roleId"]
    if not GUID.fullmatch(name):
        raise Refusal("RoleDefinitionIdNotGuid", f"The role definition ID '{name}' must be a GUID.", status=400)
    permission = _only(
        properties["permissions"][0], "Permission", ("actions", "notActions", "dataActions", "notDataActions")
    )
    for action in permission.get("actions") or []:
        if action != "*" and not action.lower().startswith(
            tuple(f"{each.lower()}/" for each in (*NAMESPACES, "Microsoft.Storage", "*", "Microsoft.Resources"))
        ):
            raise Refusal(
                "InvalidActionOrNotAction", f"'{action}' does not match any of the actions supported by the providers."
            )
    for role in world.directory.roles.values():
        if role.title == properties["roleName"] and role.name != name:
            why = f"A custom role with the same name already exists in this directory. Use a different name: '{role.title}'."
            raise Refusal("RoleDefinitionWithSameNameExists", why)
    actions, not_actions = permission.get("actions") or [], permission.get("notActions") or []
    scopes, data = tuple(properties["assignableScopes"]), tuple(permission.get("dataActions") or ())
    made = Role(name, properties["roleName"], tuple(actions), tuple(not_actions), scopes, data)
    world.directory.roles[name] = made
    return Answer(201, _role(made))


def _role(role: Role) -> Json:
    permissions = [
        {
            "actions": list(role.actions),
            "notActions": list(role.not_actions),
            "dataActions": list(role.data),
            "notDataActions": [],
        }
    ]
    kind = "CustomRole" if role.scopes else "BuiltInRole"
    properties = {"roleName": role.title, "type": kind, "description": "", "permissions": permissions}
    return {
        **{"id": f"{ROLES}/{role.name}", "type": "Microsoft.Authorization/roleDefinitions", "name": role.name},
        "properties": {**properties, "assignableScopes": list(role.scopes) or ["/"]},
    }


def _get_role(world: World, request: Request) -> Answer:
    found = world.directory.roles.get(request.params["roleId"])
    if found is None:
        why = f"The specified role definition with ID '{request.params['roleId']}' does not exist."
        raise Refusal("RoleDefinitionDoesNotExist", why)
    return Answer(200, _role(found))


def _delete_role(world: World, request: Request) -> Answer:
    name = request.params["roleId"]
    if any(each.role == name for each in world.directory.assignments.values()):
        raise Refusal(
            "RoleDefinitionHasAssignments", "There are existing role assignments referencing role.", status=409
        )
    found = world.directory.roles.pop(name, None)
    return Answer(200, _role(found)) if found else Answer(204)


def _roles(world: World, request: Request) -> Answer:
    wanted = dict(re.findall(r"(\w+) eq '([^']*)'", request.call.query.get("$filter", "")))
    known = [_role(role) for role in world.directory.roles.values()]
    return Answer(
        200,
        {
            "value": [
                each
                for each in known
                if wanted.get("roleName", each["properties"]["roleName"]) == each["properties"]["roleName"]
            ]
        },
    )


def _assign(world: World, request: Request) -> Answer:
    body = _only(request.body, "RoleAssignment", ("properties", "name", "id", "type"), ("properties",))
    allowed = (
        "roleDefinitionId",
        "principalId",
        "principalType",
        "description",
        "condition",
        "conditionVersion",
        "scope",
    )
    properties = _only(body["properties"], "RoleAssignmentProperties", allowed, ("roleDefinitionId", "principalId"))
    if not GUID.fullmatch(request.params["name"]):
        raise Refusal(
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{request.params['name']}' is not valid. The role assignment ID must be a GUID.",
        )
    role, scope = properties["roleDefinitionId"].rpartition("/")[2], f"/{request.params['scope']}"
    if role not in world.directory.roles:
        raise Refusal("RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist.")
    _check_principal(world, properties)
    key = request.id.lower()
    for id, each in world.directory.assignments.items():
        if (each.principal, each.role, each.scope.lower()) == (properties["principalId"], role, scope.lower()):
            if id != key:
                raise Refusal("RoleAssignmentExists", "The role assignment already exists.")
            return Answer(200, _assignment(id, each))
    if key in world.directory.assignments:
        why = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise Refusal("RoleAssignmentUpdateNotPermitted", why)
    made = Assignment(properties["principalId"], role, scope, time.monotonic() + world.settings.role_seconds)
    world.directory.assignments[key] = made
    return Answer(201, _assignment(key, made))


def _check_principal(world: World, properties: Json) -> None:
    """A new one can't be found everywhere for a while, unless the request says what it is."""
    found = world.directory.by_id(properties["principalId"])
    fresh = found and time.monotonic() < found.since + world.settings.principal_seconds
    if found is None or (fresh and not properties.get("principalType")):
        why = f"Principal {properties['principalId']} does not exist in the directory {TENANT}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
        raise Refusal("PrincipalNotFound", why)


def _assignment(id: str, each: Assignment) -> Json:
    properties = {"roleDefinitionId": f"{ROLES}/{each.role}", "principalId": each.principal, "scope": each.scope}
    name = id.rpartition("/")[2]
    return {
        **{"id": id, "type": "Microsoft.Authorization/roleAssignments", "name": name},
        "properties": {**properties, "principalType": "ServicePrincipal"},
    }


def _get_assignment(world: World, request: Request) -> Answer:
    found = world.directory.assignments.get(request.id.lower())
    if found is None:
        raise Refusal("RoleAssignmentNotFound", f"The role assignment '{request.params['name']}' is not found.")
    return Answer(200, _assignment(request.id.lower(), found))


def _unassign(world: World, request: Request) -> Answer:
    found = world.directory.assignments.pop(request.id.lower(), None)
    return Answer(200, _assignment(request.id.lower(), found)) if found else Answer(204)


def _assignments(world: World, request: Request) -> Answer:
    """Those at the scope, above and below; `atScope()`: not those below."""
    text, scope = request.call.query.get("$filter", ""), f"/{request.params['scope']}/".lower()
    principals = re.findall(r"(?:principalId eq|assignedTo\() ?'([^']*)'", text)
    found = []
    for id, each in world.directory.assignments.items():
        place = f"{each.scope.rstrip('/')}/".lower()
        near = scope.startswith(place) or (place.startswith(scope) and "atScope()" not in text)
        if near and (not principals or each.principal in principals):
            found.append(
                _assignment(
                    id
                    if "/" in id
                    else f"{SUBSCRIPTION_ID}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid5(uuid.NAMESPACE_URL, id)}",
                    each,
                )
            )
    return Answer(200, {"value": found})


def _permissions(world: World, request: Request) -> Answer:
    """What the caller may do there. https://learn.microsoft.com/en-us/rest/api/authorization/permissions"""
    roles = world.directory.roles_at(request.caller, f"/{request.params['scope']}")
    found = [{"actions": list(role.actions), "notActions": list(role.not_actions)} for role in roles]
    return Answer(200, {"value": found})


SERVICE = Service(
    {
        "user_assigned_identities.create_or_update": _put,
        "user_assigned_identities.get": lambda world, request: Answer(200, world.get(request.id, IDENTITIES).view()),
        "user_assigned_identities.delete": _delete,
        "user_assigned_identities.list_by_resource_group": lambda world, request: _list(world, request.group),
        "user_assigned_identities.list_by_subscription": lambda world, request: _list(world, SUBSCRIPTION_ID),
        "role_definitions.create_or_update": _put_role,
        "role_definitions.get": _get_role,
        "role_definitions.delete": _delete_role,
        "role_definitions.list": _roles,
        "role_assignments.create": _assign,
        "role_assignments.get": _get_assignment,
        "role_assignments.delete": _unassign,
        "role_assignments.list": _assignments,
        "permissions.list": _permissions,
    },
    {},
)

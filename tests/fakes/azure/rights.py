"""Whether a caller may do what a request asks for, and what it asks for along the way.

Names of actions: https://learn.microsoft.com/en-us/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

from tests.fakes.azure.calls import Refusal
from tests.fakes.azure.directory import Principal
from tests.fakes.azure.routes import Match
from tests.fakes.azure.world import SUBSCRIPTION, World

VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
READING = ("GET", "HEAD")
# lists that say of everybody's things what the caller may read
FILTERED = ("subscriptions.list", "resources.list", "resources.list_by_resource_group")


def action_of(match: Match, method: str) -> str:
    """`Microsoft.Compute/virtualMachines/write`"""
    verb, template = VERBS.get(method, "action"), match.route.template
    words = [part for part in template.rpartition("/providers/")[2].strip("/").split("/") if not part.startswith("{")]
    if "{namespace}" in template:
        return f"{match.params['namespace']}/{'/'.join(words)}/{verb}"
    if "{resourceProviderNamespace}" in template and verb == "action":
        return f"{match.params['resourceProviderNamespace']}/{words[-1]}/{verb}"
    if "{resourceProviderNamespace}" in template or template.endswith("/providers"):
        return f"Microsoft.Resources/subscriptions/providers/{verb}"
    if "/providers/" in template:
        return f"{'/'.join(words)}/{verb}"
    if "resourcegroups" in template.lower():
        return f"Microsoft.Resources/subscriptions/resourceGroups/{verb}"
    return f"Microsoft.Resources/subscriptions/{verb}"


def check(world: World, match: Match, method: str, caller: Principal, scope: str) -> None:
    """Raises Refusal."""
    action = action_of(match, method)
    if match.route.operation not in FILTERED and not world.directory.may(caller, action, scope):
        why = f"The client '{caller.client}' with object id '{caller.id}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
        raise Refusal("AuthorizationFailed", why)
    if world.settings.disabled and method not in READING:
        why = f"The subscription '{SUBSCRIPTION}' is disabled and therefore marked as read only. You cannot perform any write actions on this subscription until it is re-enabled."
        raise Refusal("ReadOnlyDisabledSubscription", why)


def check_linked(world: World, caller: Principal, scope: str, linked: dict[str, str]) -> None:
    """`linked` are {id of a resource that a request for `scope` mentions: the action on it}. Raises Refusal."""
    for id, action in linked.items():
        if not world.directory.may(caller, action, id):
            why = f"The client '{caller.client}' with object id '{caller.id}' has permission to perform action on scope '{scope}'; however, it does not have permission to perform action(s) '{action}' on the linked scope(s) '{id}' (respectively) or the linked scope(s) are invalid."
            raise Refusal("LinkedAuthorizationFailed", why)


JOINED = {
    "/subnets/": "Microsoft.Network/virtualNetworks/subnets/join/action",
    "/networksecuritygroups/": "Microsoft.Network/networkSecurityGroups/join/action",
    "/publicipaddresses/": "Microsoft.Network/publicIPAddresses/join/action",
    "/networkinterfaces/": "Microsoft.Network/networkInterfaces/join/action",
    "/userassignedidentities/": "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
}


def mentioned(document: object) -> dict[str, str]:
    """{id of a resource that a body mentions: the action that it takes}."""
    found: dict[str, str] = {}
    if isinstance(document, list):
        for each in document:
            found |= mentioned(each)
    elif isinstance(document, dict):
        for name, value in document.items():
            # identities are named by the keys of an object
            id = value if name == "id" else name
            if isinstance(id, str) and id.startswith("/subscriptions/"):
                found.update((id, action) for kind, action in JOINED.items() if kind in id.lower())
            found |= mentioned(value)
    return found

"""Roles: what the user's login needs, and what a machine may do. Pure.

Names of actions: https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

import fnmatch
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from dstack_cloud.backends.azure.config import NO_IDENTITY, SCHEME, AzureConfig
from dstack_cloud.backends.base.access import is_in

OWNER_TAG = "dstack-owner"
# every group and role that is made here begins so
PREFIX = "dstack-"
END_MACHINES = "Microsoft.Compute/virtualMachines/delete"
# "Storage Blob Data Contributor": https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
BLOB_ROLE = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
# roles and their assignments are named by UUIDs of the caller's choice
_NAMES = uuid.UUID("7d7f4f0c-5f1f-4d0b-9d7e-6f2f0c3b8a51")

_NETWORK = "Microsoft.Network"
LOOK = (
    *("Microsoft.Resources/subscriptions/read", "Microsoft.Resources/subscriptions/resourceGroups/read"),
    *("Microsoft.Resources/subscriptions/locations/read", "Microsoft.Resources/subscriptions/providers/read"),
    *("Microsoft.Authorization/permissions/read", "Microsoft.Compute/skus/read"),
    # quotas, images, and what became of a long-running operation
    *("Microsoft.Compute/locations/*/read", f"{_NETWORK}/locations/*/read"),
    *("Microsoft.Compute/virtualMachines/read", "Microsoft.Compute/disks/read"),
    *(f"{_NETWORK}/networkInterfaces/read", f"{_NETWORK}/publicIPAddresses/read"),
    *(f"{_NETWORK}/virtualNetworks/read", f"{_NETWORK}/networkSecurityGroups/read"),
    # how a rule that was changed came out
    f"{_NETWORK}/networkSecurityGroups/securityRules/read",
)  # fmt: skip
MAKE = (
    *("Microsoft.Resources/subscriptions/resourceGroups/write", "Microsoft.Compute/virtualMachines/write"),
    *("Microsoft.Compute/disks/write", f"{_NETWORK}/networkInterfaces/write", f"{_NETWORK}/networkInterfaces/join/action"),
    *(f"{_NETWORK}/publicIPAddresses/write", f"{_NETWORK}/publicIPAddresses/join/action"),
    *(f"{_NETWORK}/virtualNetworks/write", f"{_NETWORK}/virtualNetworks/subnets/join/action"),
    *(f"{_NETWORK}/networkSecurityGroups/write", f"{_NETWORK}/networkSecurityGroups/join/action"),
    f"{_NETWORK}/networkSecurityGroups/securityRules/write",
)  # fmt: skip
END = (
    *(END_MACHINES, "Microsoft.Compute/disks/delete"),
    *(f"{_NETWORK}/networkInterfaces/delete", f"{_NETWORK}/publicIPAddresses/delete"),
)
MAKE_IDENTITY = (
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/write",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/roleDefinitions/write",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleAssignments/write",
)
GIVE_IDENTITY = ("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",)
# a machine's request may name an image of the user's own only where its login may read that
READ_IMAGES = (
    *("Microsoft.Compute/images/read", "Microsoft.Compute/galleries/read", "Microsoft.Compute/galleries/images/read"),
    "Microsoft.Compute/galleries/images/versions/read",
)
# NVIDIA's driver, where an image has none
INSTALL_DRIVER = (
    "Microsoft.Compute/virtualMachines/extensions/read",
    "Microsoft.Compute/virtualMachines/extensions/write",
)
FIND_STORE = ("Microsoft.Storage/storageAccounts/read",)
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
USE_STORE = (f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/delete", f"{_BLOBS}/add/action")


def needed_permissions(config: AzureConfig, store: str = "") -> tuple[str, ...]:
    """What the user's login must be allowed to do; `store` is the home store's URL."""
    own_images = any(image.startswith("/") for image in (config.images.cpu, config.images.gpu))
    driver = INSTALL_DRIVER if config.images.lack_driver else ()
    machines = (*LOOK, *MAKE, *END, *(READ_IMAGES if own_images else ()), *driver)
    if config.identity == NO_IDENTITY:
        return machines
    if config.identity:
        return (*machines, *GIVE_IDENTITY)
    return (*machines, *GIVE_IDENTITY, *MAKE_IDENTITY, *(FIND_STORE if is_in(store, SCHEME) else ()))


def least_permissions(config: AzureConfig, subscription: str, store: str = "") -> str:
    """The JSON of the smallest role with which everything works, as `az role definition create` takes it."""
    role = {
        "Name": "dstack-cloud",
        "IsCustom": True,
        "Description": "Machines that dstack-cloud makes for jobs",
        "Actions": sorted(needed_permissions(config, store)),
        "NotActions": [],
        "DataActions": sorted(USE_STORE) if is_in(store, SCHEME) else [],
        "NotDataActions": [],
        "AssignableScopes": [f"/subscriptions/{subscription}"],
    }
    return json.dumps(role, indent=2)


def machine_role(subscription: str) -> tuple[str, dict[str, Any]]:
    """(its id's last part, the definition): one role a subscription, for the machines of all installations. A machine that has
    it in a resource group may delete machines there, and nothing else."""
    role = {
        "roleName": f"dstack-cloud machine ({subscription})",
        "type": "CustomRole",
        "description": "Lets a machine of dstack-cloud delete itself",
        "permissions": [{"actions": [END_MACHINES], "notActions": [], "dataActions": [], "notDataActions": []}],
        "assignableScopes": [f"/subscriptions/{subscription}"],
    }
    return name_of("machine", subscription), role


def name_of(*parts: str) -> str:
    """Always the same UUID for the same thing, so that making it twice makes one."""
    return str(uuid.uuid5(_NAMES, "\n".join(part.lower() for part in parts)))


def lacking(needed: Iterable[str], permissions: Iterable[Mapping[str, Any]]) -> list[str]:
    """The actions that none of a login's permissions allows."""
    granted = [
        ([str(each).lower() for each in one.get("actions") or []], [str(no).lower() for no in one.get("notActions") or []])
        for one in permissions
    ]  # fmt: skip
    return [action for action in needed if not any(_allows(action.lower(), *one) for one in granted)]


def _allows(action: str, actions: list[str], without: list[str]) -> bool:
    return _among(action, actions) and not _among(action, without)


def _among(action: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in patterns)

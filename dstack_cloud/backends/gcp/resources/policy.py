"""Roles: what the user's credentials need, what a machine may do, what short-lived credentials may do. Pure.

Names of permissions: https://cloud.google.com/iam/docs/permissions-reference; of attributes in conditions:
https://cloud.google.com/iam/docs/conditions-attribute-reference
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from dstack_cloud.backends.base.access import is_in, place_of
from dstack_cloud.backends.gcp.config import NO_IDENTITY, SCHEME, GcpConfig

LOOK = (
    *("compute.instances.get", "compute.instances.list", "compute.disks.list", "compute.zoneOperations.get"),
    *("compute.zoneOperations.list", "compute.globalOperations.get", "compute.machineTypes.list"),
    # a person's calls count on the project: https://cloud.google.com/docs/quotas/set-quota-project
    "serviceusage.services.use",
    *("compute.acceleratorTypes.list", "compute.projects.get", "compute.regions.get", "compute.subnetworks.list"),
    *("compute.firewalls.get", "compute.images.get", "compute.images.getFromFamily"),
)
MAKE = (
    *("compute.instances.create", "compute.instances.setLabels", "compute.instances.setMetadata"),
    *("compute.instances.setTags", "compute.disks.create", "compute.disks.setLabels", "compute.images.useReadOnly"),
    *(
        "compute.subnetworks.use",
        "compute.firewalls.create",
        "compute.firewalls.update",
        "compute.networks.updatePolicy",
    ),
)
PUBLIC = ("compute.subnetworks.useExternalIp",)
END = ("compute.instances.delete", "compute.disks.delete")
MAKE_IDENTITY = (
    *(
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.get",
        "iam.roles.create",
        "iam.roles.get",
        "iam.roles.undelete",
    ),
    *("resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"),
)
GIVE_IDENTITY = ("compute.instances.setServiceAccount", "iam.serviceAccounts.actAs")
LET_INTO_STORE = ("storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy")
# uploads in parts have permissions of their own: https://cloud.google.com/storage/docs/access-control/iam-permissions
USE_STORE = (
    *("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"),
    *("storage.multipartUploads.abort", "storage.multipartUploads.create", "storage.multipartUploads.listParts"),
)
OBJECT_USER, OBJECT_VIEWER = "roles/storage.objectUser", "roles/storage.objectViewer"
MACHINE_ROLE = "dstackMachine"
MACHINE_PERMISSIONS = ("compute.instances.delete",)
# https://cloud.google.com/iam/docs/downscoping-short-lived-credentials#components: so many rules, and so many operators each
MOST_RULES, MOST_PREFIXES = 10, 6

Rule = dict[str, Any]


def needed_permissions(config: GcpConfig, store: str = "") -> tuple[str, ...]:
    """All that the credentials of the settings must be allowed in the project; `store` is the home store's URL."""
    needed = [*LOOK, *MAKE, *END]
    if config.public_ip:
        needed += PUBLIC
    if config.service_account != NO_IDENTITY:
        needed += GIVE_IDENTITY
    if not config.service_account:
        needed += MAKE_IDENTITY
    if is_in(store, SCHEME):
        needed += of_bucket(config)
    return tuple(sorted(needed))


def of_bucket(config: GcpConfig) -> tuple[str, ...]:
    """Those of `needed_permissions` that a home store on Cloud Storage needs, in its bucket."""
    return tuple(sorted(USE_STORE if config.service_account else (*USE_STORE, *LET_INTO_STORE)))


def least_permissions(config: GcpConfig, store: str = "") -> str:
    """The smallest role with which everything works, as `gcloud iam roles create dstackCloud --project=… --file=…` takes it."""
    lines = ["title: dstack-cloud", "stage: GA", "includedPermissions:"]
    return "\n".join((*lines, *(f"- {each}" for each in needed_permissions(config, store)), ""))


def own_machines(kin: str) -> str:
    """The condition under which a machine may be deleted by a machine: its name begins as the other's account is called (see
    `machine.kin_of`)."""
    name = 'resource.name.extract("/instances/{name}")'
    return f'resource.type == "compute.googleapis.com/Instance" && {name}.startsWith("{kin}-")'


def lent_permissions(store: str, prefixes: Sequence[str], reads: Sequence[str] = ()) -> Rule | None:
    """A Credential Access Boundary: use these prefixes of the store, and read at `reads`. A prefix is what keys begin with. None:
    there are more of them than one can name."""
    rules = [*_rules(store, prefixes, OBJECT_USER), *_rules(store, reads, OBJECT_VIEWER)]
    return {"accessBoundary": {"accessBoundaryRules": rules}} if len(rules) <= MOST_RULES else None


def _rules(store: str, prefixes: Sequence[str], role: str) -> Iterator[Rule]:
    """https://cloud.google.com/iam/docs/downscoping-short-lived-credentials#example"""
    bucket, folder = place_of(store)
    for start in range(0, len(prefixes), MOST_PREFIXES):
        some = [f"{folder}{prefix}" for prefix in prefixes[start : start + MOST_PREFIXES]]
        yield {
            "availableResource": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
            "availablePermissions": [f"inRole:{role}"],
            "availabilityCondition": {"expression": " || ".join(_below(bucket, prefix) for prefix in some)},
        }


def _below(bucket: str, prefix: str) -> str:
    """What an object's name begins with, or what a listing is limited to."""
    listed = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "")'
    return (
        f"resource.name.startsWith({json.dumps(f'projects/_/buckets/{bucket}/objects/{prefix}')})"
        f" || {listed}.startsWith({json.dumps(prefix)})"
    )

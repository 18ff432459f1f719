"""Who may do what: roles, the project's and the buckets' policies, and the question whether an account may.

https://cloud.google.com/iam/docs/roles-overview, https://cloud.google.com/compute/docs/access/iam-permissions (what each method needs)
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.fakes.gcp import conditions
from tests.fakes.gcp.accounts import DEFAULT, OWNER, Accounts
from tests.fakes.gcp.calls import Call, Caller
from tests.fakes.gcp.conditions import Facts
from tests.fakes.gcp.fleet import metadata
from tests.fakes.gcp.places import fingerprint, path_of
from tests.fakes.gcp.wire import Json, Refusal

ROLES: Mapping[str, Sequence[str]] = {
    "roles/owner": ("*",),
    "roles/editor": ("compute.*", "storage.buckets.*", "serviceusage.*", "iam.serviceAccounts.[acgl]*"),
    "roles/viewer": ("*.get", "*.list", "*.getIamPolicy"),
    "roles/compute.instanceAdmin.v1": ("compute.instances.*", "compute.disks.*", "compute.*.get", "compute.*.list", "compute.*.use*"),
    "roles/compute.viewer": ("compute.*.get", "compute.*.list"),
    "roles/iam.serviceAccountUser": ("iam.serviceAccounts.actAs", "iam.serviceAccounts.get", "iam.serviceAccounts.list"),
    "roles/storage.admin": ("storage.*",),
    "roles/storage.objectAdmin": ("storage.objects.*", "storage.multipartUploads.*"),
    "roles/storage.objectUser": ("storage.objects.[cdglu]*", "storage.multipartUploads.*"),
    "roles/storage.objectViewer": ("storage.objects.get", "storage.objects.list"),
    "roles/storage.objectCreator": ("storage.objects.create", "storage.multipartUploads.[acl]*"),
}  # fmt: skip
# the verbs of methods that permissions call otherwise
VERBS = {"insert": "create", "aggregatedList": "list", "patch": "update", "wait": "get"}
SERVICE_ACCOUNT = "serviceAccount:"
CHANGED = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
OUTDATED = 'Must set version to 3 or greater to set a policy with "condition"'


@dataclass
class Policy:
    """Of a project or of a bucket. `version` counts the changes."""

    bindings: list[Json]
    version: int = 1

    def document(self) -> Json:
        conditional = any("condition" in each for each in self.bindings)
        shown = {"version": 3 if conditional else 1, "bindings": self.bindings}
        return {**shown, "etag": fingerprint(f"{self.version} {self.bindings}")}


class Policies:
    """Not for several threads at once."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.roles: dict[str, Json] = {}
        owner = {"role": "roles/owner", "members": [SERVICE_ACCOUNT + OWNER]}
        self.project = Policy([owner, {"role": "roles/editor", "members": [SERVICE_ACCOUNT + DEFAULT]}])
        self.buckets: dict[str, Policy] = {}

    def allows(self, email: str, permission: str, facts: Facts, bucket: str = "") -> bool:
        policies = [self.project, *([self.buckets[bucket]] if bucket in self.buckets else [])]
        bindings = [binding for policy in policies for binding in policy.bindings]
        return any(self._grants(binding, email, permission, facts) for binding in bindings)

    def _grants(self, binding: Json, email: str, permission: str, facts: Facts) -> bool:
        if SERVICE_ACCOUNT + email not in binding["members"]:
            return False
        if not granted(permission, self._permissions(binding["role"])):
            return False
        return "condition" not in binding or conditions.parse(binding["condition"]["expression"])(facts)

    def _permissions(self, role: str) -> Sequence[str]:
        own = self.roles.get(role, {})
        return ROLES.get(role) or ([] if own.get("deleted") else own.get("includedPermissions", []))

    def set(self, policy: Policy, wanted: Json, where: str) -> None:
        """Raises Refusal."""
        if wanted.get("etag", policy.document()["etag"]) != policy.document()["etag"]:
            raise Refusal(409, CHANGED, "aborted")
        for binding in wanted.get("bindings", []):
            self._check(binding, where, int(wanted.get("version", 0)))
        policy.bindings, policy.version = wanted.get("bindings", []), policy.version + 1

    def _check(self, binding: Json, where: str, version: int) -> None:
        role = binding.get("role", "")
        if role not in ROLES and (role not in self.roles or self.roles[role].get("deleted")):
            raise Refusal(400, f"Role ({role}) does not exist in the resource's hierarchy.", "badRequest")
        for member in binding.get("members", []):
            kind, _, email = member.partition(":")
            if kind not in ("serviceAccount", "user", "group", "domain"):
                raise Refusal(400, f"The member {member} is of an unknown type.", "badRequest")
            if kind == "serviceAccount" and email not in self._accounts.known:
                raise Refusal(400, f"Service account {email} does not exist.", "badRequest")
        if "condition" in binding:
            if version < 3:
                raise Refusal(400, f"{OUTDATED}, of {where}.", "badRequest")
            try:
                conditions.parse(binding["condition"].get("expression", ""))
            except ValueError as wrong:
                raise Refusal(400, f"Invalid condition: {wrong}", "badRequest") from None

    def require(self, call: Call) -> None:
        """Raises Refusal unless the caller may make this call to Compute Engine."""
        for permission, path, kind in needed(call):
            facts = {"resource.name": path, "resource.type": kind, "resource.service": "compute.googleapis.com"}
            if not self.allows(call.caller.email, permission, facts):
                raise Refusal(403, f"Required '{permission}' permission for '{path}'", "forbidden")


def granted(permission: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(permission, each) for each in patterns)


def needed(call: Call) -> Iterator[tuple[str, str, str]]:
    """(permission, path, type of resource) of all that a call to Compute Engine needs."""
    _, collection, verb = call.id.split(".")
    project = f"projects/{call.project}"
    if collection == "images":
        return  # the public ones are everybody's
    created = f"{call.path}/{call.body.get('name', '')}" if verb == "insert" else call.path
    kind = f"compute.googleapis.com/{collection[0].upper()}{collection[1:-1]}"
    if verb in ("list", "aggregatedList"):
        created, kind = project, "cloudresourcemanager.googleapis.com/Project"
    yield f"compute.{collection}.{VERBS.get(verb, verb)}", created.removesuffix(f"/{verb}"), kind
    if collection == "firewalls" and verb in ("insert", "patch", "delete"):
        network = path_of(call.body.get("network", "global/networks/default"), project)
        yield "compute.networks.updatePolicy", network, "compute.googleapis.com/Network"
    if call.id == "compute.instances.insert":
        yield from _of_launch(call, created)


def _of_launch(call: Call, instance: str) -> Iterator[tuple[str, str, str]]:
    """https://cloud.google.com/compute/docs/instances/create-start-instance, under "Required permissions"."""
    body, kind, scope = call.body, "compute.googleapis.com/Instance", call.path.rpartition("/")[0]
    asked = {
        "setLabels": body.get("labels"),
        "setMetadata": metadata(body),
        "setTags": body.get("tags", {}).get("items"),
        "setServiceAccount": body.get("serviceAccounts"),
    }
    for verb, value in asked.items():
        if value:
            yield f"compute.instances.{verb}", instance, kind
    fresh = [each["initializeParams"] for each in body.get("disks", []) if "initializeParams" in each]
    if fresh:
        yield "compute.disks.create", f"{scope}/disks/{body['name']}", "compute.googleapis.com/Disk"
    if any(each.get("labels") for each in fresh):
        yield "compute.disks.setLabels", f"{scope}/disks/{body['name']}", "compute.googleapis.com/Disk"
    for each in body.get("networkInterfaces", []):
        subnet = path_of(each.get("subnetwork", each.get("network", "")), scope)
        yield "compute.subnetworks.use", subnet, "compute.googleapis.com/Subnetwork"
        if each.get("accessConfigs"):
            yield "compute.subnetworks.useExternalIp", subnet, "compute.googleapis.com/Subnetwork"


def within(caller: Caller, scopes: frozenset[str]) -> None:
    """Raises Refusal for a token that is for something else, whatever its account may."""
    if caller.boundary or not caller.scopes & scopes:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
        details = ({**reason, "domain": "googleapis.com"},)
        raise Refusal(
            403, "Request had insufficient authentication scopes.", "insufficientPermissions", details=details
        )

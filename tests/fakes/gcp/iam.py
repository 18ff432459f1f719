"""IAM, the Resource Manager and Service Usage, as far as a backend asks them.

https://cloud.google.com/iam/docs/reference/rest, https://cloud.google.com/resource-manager/reference/rest/v3/projects,
https://cloud.google.com/service-usage/docs/reference/rest/v1/services
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.places import NUMBER, PROJECT
from tests.fakes.gcp.wire import Json, Refusal

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

# https://cloud.google.com/iam/docs/service-accounts-create and https://cloud.google.com/iam/docs/creating-custom-roles
ACCOUNT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
PERMISSION = re.compile(r"[a-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*){2}")
SERVICES = {
    "compute.googleapis.com": "Compute Engine API",
    "iam.googleapis.com": "Identity and Access Management (IAM) API",
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "cloudbilling.googleapis.com": "Cloud Billing API",
    "serviceusage.googleapis.com": "Service Usage API",
    "storage.googleapis.com": "Cloud Storage API",
}
MANAGER = "cloudresourcemanager.googleapis.com/Project"


class Iam:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> Mapping[str, Handler]:
        accounts, manager = "iam.projects.serviceAccounts", "cloudresourcemanager.projects"
        return {
            f"{accounts}.create": self._create_account,
            f"{accounts}.get": self._get_account,
            f"{accounts}.list": self._list_accounts,
            f"{accounts}.delete": self._delete_account,
            "iam.projects.roles.create": self._create_role,
            "iam.projects.roles.get": self._get_role,
            "iam.projects.roles.list": self._list_roles,
            "iam.projects.roles.patch": self._patch_role,
            "iam.projects.roles.delete": self._delete_role,
            "iam.projects.roles.undelete": self._undelete_role,
            f"{manager}.get": self._project,
            f"{manager}.getIamPolicy": self._get_policy,
            f"{manager}.setIamPolicy": self._set_policy,
            f"{manager}.testIamPermissions": self._test,
            "serviceusage.services.get": self._service,
            "serviceusage.services.list": self._services,
            "serviceusage.services.enable": self._enable,
        }

    def _require(self, call: Call, permission: str) -> None:
        facts = {"resource.name": f"projects/{PROJECT}", "resource.type": MANAGER}
        if not self._world.policies.allows(call.caller.email, permission, facts):
            message = f"Permission '{permission}' denied on resource (or it may not exist)."
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED"}
            details = ({**reason, "domain": "iam.googleapis.com", "metadata": {"permission": permission}},)
            raise Refusal(403, message, "forbidden", details=details)

    def _create_account(self, call: Call) -> Json:
        self._require(call, "iam.serviceAccounts.create")
        id = call.body.get("accountId", "")
        if not ACCOUNT_ID.fullmatch(id):
            raise Refusal(400, f"Invalid service account ID: {id!r} must match {ACCOUNT_ID.pattern}", "badRequest")
        asked = call.body.get("serviceAccount", {})
        return self._world.accounts.add(f"{id}@{PROJECT}.iam.gserviceaccount.com", asked.get("displayName", ""))

    def _account(self, call: Call) -> Json:
        email = call.arguments["name"].rpartition("/")[2]
        if email not in self._world.accounts.known:
            raise Refusal(404, f"Unknown service account: {email}", "notFound")
        return self._world.accounts.known[email]

    def _get_account(self, call: Call) -> Json:
        self._require(call, "iam.serviceAccounts.get")
        return self._account(call)

    def _list_accounts(self, call: Call) -> Json:
        self._require(call, "iam.serviceAccounts.list")
        return {"accounts": list(self._world.accounts.known.values())}

    def _delete_account(self, call: Call) -> Json:
        self._require(call, "iam.serviceAccounts.delete")
        self._world.accounts.known.pop(self._account(call)["email"])
        return {}

    def _create_role(self, call: Call) -> Json:
        self._require(call, "iam.roles.create")
        id, role = call.body.get("roleId", ""), call.body.get("role", {})
        name = f"projects/{PROJECT}/roles/{id}"
        if not ROLE_ID.fullmatch(id):
            raise Refusal(400, f"The role_id {id!r} must match {ROLE_ID.pattern}", "badRequest")
        _check_permissions(role)
        if name in self._world.policies.roles:
            deleted = self._world.policies.roles[name].get("deleted")
            why = "is in a deleted state" if deleted else "already exists"
            raise Refusal(409, f"A role named {id} in projects/{PROJECT} {why}.", "alreadyExists")
        self._world.policies.roles[name] = {"stage": "ALPHA", **role, "name": name, "etag": "BwYd0xkvZ5E="}
        return self._world.policies.roles[name]

    def _role(self, call: Call) -> Json:
        name = call.arguments["name"]
        if name not in self._world.policies.roles:
            raise Refusal(404, f"The role named {name} was not found.", "notFound")
        return self._world.policies.roles[name]

    def _get_role(self, call: Call) -> Json:
        self._require(call, "iam.roles.get")
        return self._role(call)

    def _list_roles(self, call: Call) -> Json:
        self._require(call, "iam.roles.list")
        deleted = call.arguments.get("showDeleted", "") == "true"
        known = [each for each in self._world.policies.roles.values() if deleted or not each.get("deleted")]
        full = call.arguments.get("view") == "FULL"
        return {"roles": [each if full else _without_permissions(each) for each in known]}

    def _patch_role(self, call: Call) -> Json:
        self._require(call, "iam.roles.update")
        _check_permissions(call.body)
        role = self._role(call)
        role.update({name: value for name, value in call.body.items() if name not in ("name", "etag")})
        return role

    def _delete_role(self, call: Call) -> Json:
        self._require(call, "iam.roles.delete")
        role = self._role(call)
        role["deleted"] = True
        return role

    def _undelete_role(self, call: Call) -> Json:
        self._require(call, "iam.roles.undelete")
        role = self._role(call)
        role.pop("deleted", None)
        return role

    def _project(self, call: Call) -> Json:
        self._named(call)
        self._require(call, "resourcemanager.projects.get")
        if call.path.startswith("v3/"):
            own = {"name": f"projects/{NUMBER}", "displayName": "rehearsal", "state": "ACTIVE"}
        else:
            own = {"name": "rehearsal", "projectNumber": NUMBER, "lifecycleState": "ACTIVE"}
        return {**own, "projectId": PROJECT, "createTime": "2025-10-01T09:03:04.567Z"}

    def _get_policy(self, call: Call) -> Json:
        self._named(call)
        self._require(call, "resourcemanager.projects.getIamPolicy")
        document = self._world.policies.project.document()
        version = int(call.body.get("options", {}).get("requestedPolicyVersion", 1))
        if version >= 3:
            return document
        return {**document, "version": 1, "bindings": [_unconditional(each) for each in document["bindings"]]}

    def _set_policy(self, call: Call) -> Json:
        self._named(call)
        self._require(call, "resourcemanager.projects.setIamPolicy")
        policies = self._world.policies
        policies.set(policies.project, call.body.get("policy", {}), f"projects/{PROJECT}")
        return policies.project.document()

    def _test(self, call: Call) -> Json:
        """Those of the permissions that the caller has. A name that isn't one is refused."""
        self._named(call)
        asked = call.body.get("permissions", [])
        for each in asked:
            if not PERMISSION.fullmatch(each):
                raise Refusal(400, f"Permission {each} is not valid for this resource.", "badRequest")
        facts = {"resource.name": f"projects/{PROJECT}", "resource.type": MANAGER}
        had = [each for each in asked if self._world.policies.allows(call.caller.email, each, facts)]
        return {"permissions": had} if had else {}

    def _named(self, call: Call) -> None:
        """A project that there isn't is told like one that nobody let the caller see."""
        project = next(
            iter(call.arguments[name] for name in ("projectId", "resource", "name") if name in call.arguments)
        )
        if project.removeprefix("projects/") not in (PROJECT, NUMBER):
            raise Refusal(403, "The caller does not have permission", "forbidden")

    def _service(self, call: Call) -> Json:
        self._require(call, "serviceusage.services.get")
        return self._service_document(call.arguments["name"].rpartition("/")[2])

    def _services(self, call: Call) -> Json:
        self._require(call, "serviceusage.services.list")
        known = [self._service_document(name) for name in SERVICES]
        wanted = call.arguments.get("filter", "")
        if wanted not in ("", "state:ENABLED", "state:DISABLED"):
            raise Refusal(400, f"Invalid filter: {wanted}", "badRequest")
        return {"services": [each for each in known if wanted in ("", f"state:{each['state']}")]}

    def _enable(self, call: Call) -> Json:
        self._require(call, "serviceusage.services.enable")
        name = call.arguments["name"].rpartition("/")[2]
        document = self._service_document(name)
        settings = self._world.settings
        settings.disabled = tuple(each for each in settings.disabled if each != name)
        kind = "type.googleapis.com/google.api.serviceusage.v1.EnableServiceResponse"
        return {
            "name": "operations/noop.DONE_OPERATION",
            "done": True,
            "response": {"@type": kind, "service": document},
        }

    def _service_document(self, name: str) -> Json:
        if name not in SERVICES:
            raise Refusal(403, f"Not found or permission denied for service(s): {name}.", "forbidden")
        state = "DISABLED" if name in self._world.settings.disabled else "ENABLED"
        parent = f"projects/{NUMBER}"
        config = {"name": name, "title": SERVICES[name]}
        return {"name": f"{parent}/services/{name}", "parent": parent, "config": config, "state": state}


def _check_permissions(role: Json) -> None:
    for each in role.get("includedPermissions", []):
        if not PERMISSION.fullmatch(each):
            raise Refusal(400, f"Permission {each} is not valid.", "badRequest")


def _without_permissions(role: Json) -> Json:
    return {name: value for name, value in role.items() if name != "includedPermissions"}


def _unconditional(binding: Json) -> Json:
    """As who asks for an older version sees it: https://cloud.google.com/iam/docs/policies#specifying-version-get"""
    if "condition" not in binding:
        return binding
    role = f"{binding['role']}_withcond_{abs(hash(str(binding['condition']))) % 16**20:020x}"
    return {"role": role, "members": binding["members"]}

"""Who machines are: a service account for each store, that may use the store's bucket, delete the machines that use the store,
and nothing else.

That a machine deletes itself only would need an identity of its own. IAM conditions know the name of what is deleted, and nothing
of who asks that could be compared with it (https://cloud.google.com/iam/docs/conditions-attribute-reference); a service account or
a binding for each machine takes some of 100 accounts (https://cloud.google.com/iam/quotas) or a change of a policy that everybody
shares, and has an effect only after minutes (https://cloud.google.com/iam/docs/access-change-propagation), when many a job has
ended. `maxRunDuration` deletes a machine by itself, but not earlier, and not one that has powered itself off. So machines share an
account with those that they already share their objects with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from dstack_cloud.backends.base.access import is_in, place_of
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import NO_IDENTITY, SCHEME
from dstack_cloud.backends.gcp.errors import NOT_FOUND, TAKEN
from dstack_cloud.backends.gcp.resources.machine import kin_of
from dstack_cloud.backends.gcp.resources.policy import (
    MACHINE_PERMISSIONS,
    MACHINE_ROLE,
    OBJECT_USER,
    own_machines,
)
from dstack_cloud.errors import BackendError, InvalidConfiguration, NotAuthorized, Unavailable

log = logging.getLogger(__name__)

# somebody else may change a policy at the same time; then it is read again
TRIES = 5
CONFLICTS = ("conditionNotMet", "ABORTED", "aborted", "conflict", *TAKEN)
# a condition is lost where a policy is read or written as of an older version: https://cloud.google.com/iam/docs/policies#versions
POLICY_VERSION = 3

Policy = dict[str, Any]


class Identity:
    """The service account for each store, made when it is first needed, kept afterwards. `prefix` is what its name begins with.
    Threads share it."""

    def __init__(self, client: GcpClient, prefix: str) -> None:
        self._client, self._prefix = client, prefix
        self._made = Memory[str, str]()

    def find(self, store: str) -> str:
        """The email of the identity of machines that use this store; "" where they get none."""
        configured = self._client.config.service_account
        if configured:
            return "" if configured == NO_IDENTITY else configured
        kin = kin_of(self._prefix, store)
        bucket = place_of(store)[0] if is_in(store, SCHEME) else ""
        return self._made.get(kin, lambda: self._ensure(kin, bucket))

    def forget(self) -> None:
        """Looks again at the next launch: it may be gone."""
        self._made.forget()

    def _ensure(self, kin: str, bucket: str) -> str:
        email = f"{kin}@{self._client.project}.iam.gserviceaccount.com"
        self._ensure_account(kin, email)
        if bucket:
            self._let_into(bucket, f"serviceAccount:{email}")
        try:
            self._let_delete(kin, f"serviceAccount:{email}")
        except (NotAuthorized, InvalidConfiguration) as refused:
            # not allowed, or Cloud Resource Manager's API is off. All the rest works: a machine that ends is stopped then, and deleted by the server
            log.warning("machines can't delete themselves: %s", refused.summary)
        return email

    def _ensure_account(self, kin: str, email: str) -> None:
        accounts = f"/v1/projects/{self._client.project}/serviceAccounts"
        if self._there("iam", f"{accounts}/{email}") is None:
            described = {"displayName": "machines of dstack-cloud"}
            self._unless_there(accounts, {"accountId": kin, "serviceAccount": described})

    def _let_into(self, bucket: str, member: str) -> None:
        path = f"/storage/v1/b/{bucket}/iam"
        self._bind(
            {"role": OBJECT_USER, "members": [member]},
            lambda: self._client.rest("storage", "GET", path, optionsRequestedPolicyVersion=str(POLICY_VERSION)),
            lambda policy: self._client.rest("storage", "PUT", path, policy),
        )

    def _let_delete(self, kin: str, member: str) -> None:
        project = self._client.project
        roles = f"/v1/projects/{project}/roles"
        role, found = f"{roles[4:]}/{MACHINE_ROLE}", self._there("iam", f"{roles}/{MACHINE_ROLE}")
        if found is None:
            described = {
                "title": "Machines of dstack-cloud",
                "stage": "GA",
                "includedPermissions": list(MACHINE_PERMISSIONS),
            }
            self._unless_there(roles, {"roleId": MACHINE_ROLE, "role": described})
        elif found.get("deleted"):
            self._client.rest("iam", "POST", f"{roles}/{MACHINE_ROLE}:undelete", {})
        condition = {"title": f"machines of {kin}", "expression": own_machines(kin)}
        path, options = f"/v3/projects/{project}", {"options": {"requestedPolicyVersion": POLICY_VERSION}}
        self._bind(
            {"role": role, "members": [member], "condition": condition},
            lambda: self._client.rest("projects", "POST", f"{path}:getIamPolicy", options),
            lambda policy: self._client.rest("projects", "POST", f"{path}:setIamPolicy", {"policy": policy}),
        )

    def _bind(self, wanted: Policy, read: Callable[[], Policy], write: Callable[[Policy], object]) -> None:
        """Adds a binding to a policy that others change, too; what carries an outdated etag is refused."""
        for attempt in range(TRIES):
            policy = read()
            bindings: list[Policy] = list(policy.get("bindings", []))
            if any(_covers(each, wanted) for each in bindings):
                return
            try:
                write({**policy, "version": POLICY_VERSION, "bindings": [*bindings, wanted]})
                return
            except BackendError as refused:
                if "does not exist" in refused.cloud_message:
                    raise Unavailable(
                        "the machines' new service account isn't known everywhere yet", **refused.said
                    ) from refused
                if refused.cloud_code not in CONFLICTS or attempt == TRIES - 1:
                    raise

    def _there(self, service: str, path: str) -> Policy | None:
        try:
            return self._client.rest(service, "GET", path)
        except BackendError as refused:
            if refused.cloud_code in NOT_FOUND:
                return None
            raise

    def _unless_there(self, path: str, body: Policy) -> None:
        try:
            self._client.rest("iam", "POST", path, body)
        except BackendError as refused:
            if refused.cloud_code not in TAKEN:
                raise


def _covers(binding: Policy, wanted: Policy) -> bool:
    same = binding.get("role") == wanted["role"]
    condition, own = binding.get("condition", {}), wanted.get("condition", {})
    return (
        same
        and condition.get("expression") == own.get("expression")
        and set(wanted["members"]) <= set(binding.get("members", []))
    )


def lack_of_identity(account: str, configured: bool, refused: BackendError) -> BackendError:
    """An account that was just made takes some seconds until Compute Engine has heard of it."""
    if configured:
        return InvalidConfiguration(
            f"there is no service account {account}", "name one that exists as `service_account`", **refused.said
        )
    return Unavailable(f"Compute Engine hasn't heard of the service account {account} yet", **refused.said)

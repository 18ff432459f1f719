"""Who machines are: one managed identity a project and region, that may delete the machines of its resource group and use the project's
store, and nothing else.

An assignment of a role takes effect within minutes: https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
Until then a machine's objects are carried by the server, and the server deletes it.
"""

from __future__ import annotations

import logging
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import NO_IDENTITY, SCHEME
from dstack_cloud.backends.azure.errors import is_missing, translated
from dstack_cloud.backends.azure.resources.groups import Groups
from dstack_cloud.backends.azure.resources.policy import BLOB_ROLE, machine_role, name_of
from dstack_cloud.backends.base.access import is_in, place_of
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.errors import BackendError, InvalidConfiguration, NotAuthorized, Unavailable

log = logging.getLogger(__name__)

Json = dict[str, Any]

NAME = "dstack-machines"
KIND = "Microsoft.ManagedIdentity/userAssignedIdentities"
ROLES = "/providers/Microsoft.Authorization"
# of services for which no client is installed: https://learn.microsoft.com/rest/api/managedidentity and …/rest/api/authorization
IDENTITY_VERSION, ROLE_VERSION = "2023-01-31", "2022-04-01"
ASSIGNED = "RoleAssignmentExists"
ASK_AN_OWNER = (
    "let an owner of the subscription run `dstack config check` once, or make an identity and name it as `identity`; "
    "with `identity: none` machines can't delete themselves"
)


class Identity:
    """The identity for each region and store, made when it is first needed, kept afterwards. Threads share it."""

    def __init__(self, client: AzureClient, groups: Groups) -> None:
        self._client, self._groups = client, groups
        self._made = Memory[tuple[str, str], str]()

    def find(self, region: str, store: str) -> str:
        """Its resource id; "" where machines get none. `store` is the home store's URL. Raises BackendError."""
        configured = self._client.config.identity
        if configured:
            return "" if configured == NO_IDENTITY else configured
        return self._made.get((region, store), lambda: self._ensure(region, store))

    def forget(self, region: str) -> None:
        """Looks again at the next launch: it may be gone, or its making was broken off."""
        self._made.forget(lambda known: known[0] == region)

    def _ensure(self, region: str, store: str) -> str:
        self._groups.ensure(region)
        id = self._groups.thing(region, KIND, NAME)
        try:
            principal = self._principal(id, region)
            self._assign(principal, self._groups.id(region), self._role(region), region)
            self._let_into_store(principal, store, region)
        except NotAuthorized as refused:
            raise NotAuthorized(
                f"the machines' identity can't be made: {refused.summary}", ASK_AN_OWNER, **refused.said
            ) from refused
        return id

    def _principal(self, id: str, region: str) -> str:
        """Whose rights the identity has: an object's id in the tenant."""
        body = {"location": region, "tags": self._groups.tags}
        made = self._client.call("PUT", id, IDENTITY_VERSION, body, where=f"{region} {NAME}")
        return str((made.get("properties") or {}).get("principalId", ""))

    def _role(self, region: str) -> str:
        name, definition = machine_role(self._client.subscription)
        scope = f"/subscriptions/{self._client.subscription}"
        id = f"{scope}{ROLES}/roleDefinitions/{name}"
        try:
            self._client.call("GET", id, ROLE_VERSION, where=f"{region} role")
        except BackendError as refused:
            if not is_missing(refused) and refused.cloud_code != "RoleDefinitionDoesNotExist":
                raise
            self._client.call("PUT", id, ROLE_VERSION, {"properties": definition}, where=f"{region} role")
        return id

    def _assign(self, principal: str, scope: str, role: str, region: str) -> None:
        properties = {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}
        id = f"{scope}{ROLES}/roleAssignments/{name_of(scope, role, principal)}"
        try:
            self._client.call("PUT", id, ROLE_VERSION, {"properties": properties}, where=f"{region} role assignment")
        except BackendError as refused:
            if refused.cloud_code != ASSIGNED:
                raise

    def _let_into_store(self, principal: str, store: str, region: str) -> None:
        account = self._client.config.storage_account
        if not is_in(store, SCHEME) or not account:
            return
        id = self._account_id(account, region)
        if not id:
            log.warning(
                "the storage account %s isn't of this subscription: its machines can't use it themselves", account
            )
            return
        role = f"/subscriptions/{self._client.subscription}{ROLES}/roleDefinitions/{BLOB_ROLE}"
        container, _ = place_of(store)
        self._assign(principal, f"{id}/blobServices/default/containers/{container}", role, region)

    def _account_id(self, account: str, region: str) -> str:
        wanted = f"resourceType eq 'Microsoft.Storage/storageAccounts' and name eq '{account}'"
        with translated(f"{region} {account}"):
            found = list(self._client.resources().resources.list(filter=wanted))
        return next((str(each.id) for each in found if str(each.name).lower() == account.lower()), "")


def lack_of_identity(identity: str, configured: bool, refused: BackendError) -> BackendError:
    """An identity that was just made takes some seconds until all of Azure has heard of it."""
    if configured:
        hint = "name one that exists as `identity`, and that this login may give to machines"
        return InvalidConfiguration(f"there is no identity {identity}", hint, **refused.said)
    return Unavailable(refused.summary, **refused.said)

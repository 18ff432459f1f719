"""What `dstack config check` tells about Azure: login, permissions, regions, images, quotas, services that must be registered."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dstack_cloud.backends.azure.client import SUBSCRIPTIONS_VERSION, AzureClient
from dstack_cloud.backends.azure.errors import ASK_FOR_QUOTA, REACTIVATE
from dstack_cloud.backends.azure.resources.identity import ROLE_VERSION, ROLES
from dstack_cloud.backends.azure.resources.images import Catalogue
from dstack_cloud.backends.azure.resources.policy import lacking, needed_actions
from dstack_cloud.backends.azure.resources.quota import ALL, LOW_PRIORITY, Quota, Quotas
from dstack_cloud.backends.base import Finding
from dstack_cloud.errors import BackendError

LEAST = "make the role that `dstack config permissions azure` prints, and give it to the login"
PROVIDERS = ("Microsoft.Compute", "Microsoft.Network")
OWN_IDENTITY = "Microsoft.ManagedIdentity"


@dataclass(frozen=True)
class Checks:
    """All of it asks and changes nothing."""

    client: AzureClient
    images: Catalogue
    quotas: Quotas

    def findings(self) -> list[Finding]:
        try:
            regions = self.client.regions
            found = [self._subscription()]
            places = self._places()
            found += self._permissions()
            named = self.client.config.identity
            found += [self._provider(name) for name in (*PROVIDERS, *(() if named else (OWN_IDENTITY,)))]
        except BackendError as wrong:
            return [Finding.of(wrong)]
        with ThreadPoolExecutor(len(regions)) as pool:
            for some in pool.map(lambda region: list(self._region(region, places)), regions):
                found += some
        return found

    def _subscription(self) -> Finding:
        id = self.client.subscription
        found = self.client.call("GET", f"/subscriptions/{id}", SUBSCRIPTIONS_VERSION, where="subscription")
        name, state = found.get("displayName", ""), str(found.get("state", "Enabled"))
        if state != "Enabled":
            return Finding(False, f"the subscription {name} ({id}) is {state.lower()}: it can only be read", REACTIVATE)
        return Finding(True, f"subscription {name} ({id})")

    def _places(self) -> set[str]:
        path = f"/subscriptions/{self.client.subscription}/locations"
        found = self.client.call("GET", path, SUBSCRIPTIONS_VERSION, where="regions")
        return {str(each.get("name", "")).lower() for each in found.get("value", [])}

    def _permissions(self) -> Iterator[Finding]:
        """https://learn.microsoft.com/rest/api/authorization/permissions"""
        scope = f"/subscriptions/{self.client.subscription}"
        answer = self.client.call("GET", f"{scope}{ROLES}/permissions", ROLE_VERSION, where="permissions")
        config = self.client.config
        store = f"az://{config.storage_account}" if config.storage_account else ""
        missing = lacking(needed_actions(config, store), answer.get("value", []))
        for action in missing:
            yield Finding(False, f"the permission {action} is missing", LEAST)
        if not missing:
            yield Finding(True, "all permissions that are needed")

    def _provider(self, name: str) -> Finding:
        path = f"/subscriptions/{self.client.subscription}/providers/{name}"
        found = self.client.call("GET", path, "2021-04-01", where=name)
        if found.get("registrationState", "Registered") == "Registered":
            return Finding(True, f"{name} is registered")
        return Finding(False, f"the resource provider {name} isn't registered", f"az provider register -n {name}")

    def _region(self, region: str, places: set[str]) -> Iterator[Finding]:
        if places and region not in places:
            yield Finding(
                False,
                f"there is no region {region}, or not for this subscription",
                "`az account list-locations -o table`",
            )
            return
        for name in (self.client.config.images.cpu, self.client.config.images.gpu):
            yield self._image(region, name)
        try:
            known = self.quotas.of(region)
        except BackendError as wrong:
            yield Finding(True, f"{region}: quotas can't be read ({wrong.summary})")
            return
        yield from (_quota(region, known[name], name) for name in (ALL, LOW_PRIORITY) if name in known)

    def _image(self, region: str, name: str) -> Finding:
        if name.startswith("/"):
            return Finding(True, f"{region}: image {name}")
        try:
            version = self.images.look(region, name).reference["version"]
        except BackendError as wrong:
            return Finding.of(wrong)
        return Finding(True, f"{region}: image {name}, version {version}")


def _quota(region: str, quota: Quota, name: str) -> Finding:
    """0 is wrong only for what everybody uses."""
    some = quota.limit > 0 or name != ALL
    hint = "" if quota.limit else f" ({ASK_FOR_QUOTA})"
    text = f"{region}: {quota.limit} cores of {quota.title}, {quota.used} in use{hint}"
    return Finding(some, text, "" if some else ASK_FOR_QUOTA)

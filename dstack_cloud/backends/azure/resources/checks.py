"""What `dstack config check` tells about Azure: login, each permission, services that must be registered, and of each region its images,
its sizes and its quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from dstack_cloud.backends.azure.client import SUBSCRIPTIONS_VERSION, AzureClient
from dstack_cloud.backends.azure.config import is_size
from dstack_cloud.backends.azure.errors import ASK_FOR_QUOTA, LIST_REGIONS, REACTIVATE
from dstack_cloud.backends.azure.resources.identity import ROLE_VERSION, ROLES
from dstack_cloud.backends.azure.resources.images import Catalogue
from dstack_cloud.backends.azure.resources.policy import lacking, needed_permissions
from dstack_cloud.backends.azure.resources.quota import ALL, LOW_PRIORITY, Quota, Quotas
from dstack_cloud.backends.base import Finding
from dstack_cloud.errors import BackendError

LEAST = "make the role that `dstack config permissions azure` prints, and give it to the login"
PROVIDERS = ("Microsoft.Compute", "Microsoft.Network")
OWN_IDENTITY = "Microsoft.ManagedIdentity"
OTHER_SIZES = "name other `regions` or `instance_types`: `az vm list-skus -l REGION -r virtualMachines -o table` shows those there are"


class Sizes(Protocol):
    """What a region has of what the settings ask for."""

    def sizes(self, region: str) -> set[str]: ...

    def gpu_families(self, region: str) -> set[str]:
        """As quotas call them, in lower case."""
        ...


@dataclass(frozen=True)
class Checks:
    """All of it asks and changes nothing."""

    client: AzureClient
    images: Catalogue
    quotas: Quotas
    sizes: Sizes

    def findings(self) -> list[Finding]:
        try:
            regions = self.client.regions
            found, places = [self._subscription()], self._places()
        except BackendError as wrong:
            return [Finding.of(wrong)]
        found += _guarded(self._permissions)
        found += _guarded(self._providers)
        with ThreadPoolExecutor(len(regions)) as pool:
            for some in pool.map(lambda region: _guarded(lambda: self._region(region, places)), regions):
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
        needed = sorted(needed_permissions(config, store))
        missing = set(lacking(needed, answer.get("value", [])))
        for action in needed:
            if action in missing:
                yield Finding(False, f"the permission {action} is missing", LEAST)
            else:
                yield Finding(True, f"permission {action}")

    def _providers(self) -> Iterator[Finding]:
        named = self.client.config.identity
        for name in (*PROVIDERS, *(() if named else (OWN_IDENTITY,))):
            path = f"/subscriptions/{self.client.subscription}/providers/{name}"
            found = self.client.call("GET", path, "2021-04-01", where=name)
            if found.get("registrationState", "Registered") == "Registered":
                yield Finding(True, f"{name} is registered")
            else:
                fix = f"az provider register -n {name}"
                yield Finding(False, f"the resource provider {name} isn't registered", fix)

    def _region(self, region: str, places: set[str]) -> list[Finding]:
        """The last one says whether all is well there."""
        if places and region not in places:
            what = f"there is no region {region}, or not for this subscription"
            return [Finding(False, what, LIST_REGIONS)]
        found = [self._image(region, name) for name in (self.client.config.images.cpu, self.client.config.images.gpu)]
        found += _guarded(lambda: self._sizes(region))
        found += _guarded(lambda: self._quotas(region))
        wrong = sum(not each.ok for each in found)
        return [*found, *([] if wrong else [Finding(True, f"region {region}: ok")])]

    def _image(self, region: str, name: str) -> Finding:
        if name.startswith("/"):
            return Finding(True, f"{region}: image {name}")
        try:
            version = self.images.look(region, name).reference["version"]
        except BackendError as wrong:
            return Finding.of(wrong)
        return Finding(True, f"{region}: image {name}, version {version}")

    def _sizes(self, region: str) -> Iterator[Finding]:
        there = self.sizes.sizes(region)
        if there:
            yield Finding(True, f"{region}: {len(there)} sizes of machines")
        for pattern in self.client.config.instance_types or ("*",):
            if not any(is_size(name, pattern) for name in there):
                yield Finding(False, f"{region}: there is no size {pattern}, or not for this subscription", OTHER_SIZES)

    def _quotas(self, region: str) -> Iterator[Finding]:
        """Of all cores, of spot machines' and of each family with GPUs. 0 is wrong for what everybody uses, and for what the
        settings name."""
        known, families = self.quotas.of_region(region), self.sizes.gpu_families(region)
        needed = {ALL, *(families if self.client.config.instance_types else ())}
        for name in (ALL, LOW_PRIORITY, *sorted(families)):
            if name in known:
                yield _quota(region, known[name], needed=name in needed)


def _quota(region: str, quota: Quota, *, needed: bool) -> Finding:
    hint = "" if quota.limit or needed else f" ({ASK_FOR_QUOTA})"
    text = f"{region}: {quota.limit} cores of {quota.title}, {quota.used} in use{hint}"
    some = quota.limit > 0 or not needed
    return Finding(some, text, "" if some else ASK_FOR_QUOTA)


def _guarded(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What can't be looked at is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except BackendError as wrong:
        found.append(Finding.of(wrong))
    return found

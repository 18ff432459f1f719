"""The resource groups, one a project and region, that hold all that is made there, and the ids of what is in them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import translated
from dstack_cloud.backends.azure.resources.policy import OWNER_TAG, PREFIX

REGION = re.compile(r"[a-z0-9]+")
# 90 characters are allowed, in any case: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
INSTALLATION_LENGTH, PROJECT_LENGTH = 32, 24


class Groups:
    """Those of one project, and of the installation's others. `tags` go onto what is made here. Threads share it.

    A `place` is how a ref begins: a region, which means this project's group there, or the name of another group, which has a
    hyphen. So what another project made, or one that the configuration names no more, can be told of and ended, too.
    """

    def __init__(self, client: AzureClient, installation: str, project: str, tags: Mapping[str, str]) -> None:
        self._client, self._installation, self._tags = client, installation, dict(tags)
        self._beginning = client.config.resource_group or f"{PREFIX}{installation[:INSTALLATION_LENGTH]}"
        self._base = f"{self._beginning}-{short(project)}"
        self._lock = threading.Lock()
        self._made: set[str] = set()

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._tags)

    def name(self, place: str) -> str:
        """The name of the group at a place."""
        return f"{self._base}-{place}" if is_region(place) else place

    def place(self, group: str) -> str:
        """The other way round."""
        region = group.lower().removeprefix(f"{self._base}-".lower())
        return region if is_region(region) else group

    def places(self) -> set[str]:
        """Where groups of this installation are, whichever project's. Raises BackendError."""
        begin = f"{self._beginning}-".lower()
        with translated("resource groups"):
            listed = [each.as_dict() for each in self._client.resources().resource_groups.list()]
        return {
            self.place(str(each["name"]))
            for each in listed
            if (each.get("tags") or {}).get(OWNER_TAG) == self._installation
            or str(each["name"]).lower().startswith(begin)
        }

    def id(self, region: str) -> str:
        return f"/subscriptions/{self._client.subscription}/resourceGroups/{self.name(region)}"

    def thing(self, region: str, kind: str, name: str) -> str:
        """The id of a resource there; `kind` like "Microsoft.Network/virtualNetworks"."""
        return f"{self.id(region)}/providers/{kind}/{name}"

    def ensure(self, region: str) -> str:
        """The group's name, once it is there."""
        name = self.name(region)
        with self._lock:
            if name not in self._made:
                document: Any = {"location": region, "tags": self._tags}
                with translated(f"{region} {name}"):
                    self._client.resources().resource_groups.create_or_update(name, document)
                self._made.add(name)
        return name

    def forget(self, region: str) -> None:
        """It isn't there any more."""
        with self._lock:
            self._made.discard(self.name(region))


def is_region(place: str) -> bool:
    return bool(REGION.fullmatch(place))


def short(project: str) -> str:
    """Another for each project, also where names differ in case alone."""
    if project == project.lower() and len(project) <= PROJECT_LENGTH:
        return project
    return f"{project.lower()[: PROJECT_LENGTH - 9]}-{hashlib.sha256(project.encode()).hexdigest()[:8]}"

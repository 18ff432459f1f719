"""The resource groups, one a region, that hold all that is made there, and the ids of what is in them."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import translated
from dstack_cloud.backends.azure.resources.policy import PREFIX

REGION = re.compile(r"[a-z0-9]+")


class Groups:
    """`tags` go onto what is made here. Threads share it."""

    def __init__(self, client: AzureClient, installation: str, tags: Mapping[str, str]) -> None:
        self._client, self._tags = client, dict(tags)
        # 90 characters are allowed
        self._base = client.config.resource_group or f"{PREFIX}{installation[:32]}"
        self._lock = threading.Lock()
        self._made: set[str] = set()

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._tags)

    def name(self, region: str) -> str:
        return f"{self._base}-{region}"

    def regions(self) -> set[str]:
        """Where groups are. Raises BackendError."""
        begin = f"{self._base}-".lower()
        with translated("resource groups"):
            names = [str(each.name).lower() for each in self._client.resources().resource_groups.list()]
        found = {name.removeprefix(begin) for name in names if name.startswith(begin)}
        return {region for region in found if REGION.fullmatch(region)}

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

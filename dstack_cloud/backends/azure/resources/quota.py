"""How many cores a subscription may have in a region, and has: read before a machine is asked for, because Azure's refusal comes
late and says little.

https://learn.microsoft.com/azure/virtual-machines/quotas
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import ASK_FOR_QUOTA, translated
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.domain.resources import Offer
from dstack_cloud.errors import BackendError, QuotaExceeded

# all of a region's, those of spot machines of any family, else each family's own
ALL, LOW_PRIORITY = "cores", "lowprioritycores"
AGE_SECONDS = 20.0


@dataclass(frozen=True)
class Quota:
    """In cores. `title` is for people."""

    name: str
    title: str
    used: int
    limit: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


class Quotas:
    """By region, each read now and then. Threads share it."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client
        self._read = Memory[str, dict[str, Quota]](AGE_SECONDS)

    def of_region(self, region: str) -> dict[str, Quota]:
        """{name in lower case: quota}. Raises BackendError."""
        return self._read.get(region, lambda: self._read_region(region))

    def check(self, offer: Offer, family: str) -> None:
        """Raises QuotaExceeded where the machine wouldn't fit. Who may not read quotas hears of them from Azure."""
        try:
            known = self.of_region(offer.region)
        except BackendError:
            return
        for quota in _concerned(known, offer, family):
            if offer.machine.cpu > quota.left:
                raise QuotaExceeded(
                    f"the quota of {quota.title} in {offer.region} is {quota.limit}, {quota.used} in use: "
                    f"{offer.instance_type} needs {offer.machine.cpu}",
                    ASK_FOR_QUOTA,
                    cloud_code="QuotaExceeded",
                    scope="" if quota.name.lower() in (ALL, LOW_PRIORITY) else "type",
                )

    def _read_region(self, region: str) -> dict[str, Quota]:
        with translated(f"quotas of {region}"):
            found = [each.as_dict() for each in self._client.compute().usage.list(region)]
        return {quota.name.lower(): quota for quota in (_quota(each) for each in found)}


def _concerned(known: dict[str, Quota], offer: Offer, family: str) -> Iterator[Quota]:
    """Spot machines count against one quota of their own, the others against their family's and the region's."""
    for name in (LOW_PRIORITY,) if offer.spot else (family.lower(), ALL):
        if name in known:
            yield known[name]


def _quota(usage: dict[str, Any]) -> Quota:
    name = usage.get("name") or {}
    value = str(name.get("value", ""))
    title = str(name.get("localizedValue") or value)
    return Quota(value, title, int(usage.get("currentValue") or 0), int(usage.get("limit") or 0))

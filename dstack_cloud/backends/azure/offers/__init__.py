"""What Azure has in each region: sizes zone by zone, and the price list, each as old as it may be."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.offers import catalogue, prices
from dstack_cloud.backends.base import market
from dstack_cloud.backends.base.market import DAY, HOUR, Candidate, InstanceType, candidate, machine, told_age
from dstack_cloud.backends.base.region import ShelvedRegion
from dstack_cloud.backends.base.shelf import Shelf, digest

NAME = "azure"
TITLE = "Azure"
# where a region has no zones, or a size none of them
ZONES = ("", "1", "2", "3")


class Market(market.Market):
    """`folder` keeps what was read."""

    def __init__(self, client: AzureClient, folder: Path) -> None:
        self.folder, self._client = folder, client
        config = client.config
        # what one login and one choice of sizes sees is not what another does
        self._whose = digest(
            config.subscription, config.tenant, config.endpoint, config.images.gpu, *config.instance_types
        )
        self._lock = threading.Lock()
        self._made: dict[str, Region] = {}
        super().__init__(NAME, TITLE, lambda: client.regions, self._region)

    def family(self, region: str, size: str) -> str:
        """What quotas call a size's family; "" where it isn't known. Raises BackendError."""
        return self._region(region).family(size)

    def sizes(self, region: str) -> set[str]:
        """Those there that the settings ask for. Raises BackendError."""
        return set(self._region(region).types())

    def gpu_families(self, region: str) -> set[str]:
        """The families of those with GPUs, in lower case. Raises BackendError."""
        there = self._region(region)
        return {there.family(name).lower() for name, kind in there.types().items() if kind.machine.gpus}

    def _region(self, name: str) -> Region:
        with self._lock:
            if name not in self._made:
                self._made[name] = Region(self._client, name, self.folder / self._whose)
            return self._made[name]


class Region(ShelvedRegion[catalogue.Types]):
    """Sizes change rarely; Azure changes its spot prices once a month, or a few times."""

    def __init__(self, client: AzureClient, name: str, folder: Path) -> None:
        self._types = Shelf(
            folder / f"{name}-types.json", lambda: catalogue.types(client, name), fresh=DAY, usable=7 * DAY
        )
        self._prices: Shelf[prices.Prices] = Shelf(
            folder / f"{name}-prices.json",
            lambda: prices.price_list(client, name),
            fresh=12 * HOUR,
            usable=7 * DAY,
            otherwise={},
        )
        super().__init__(name, self._types, prices=(self._prices,))

    def ages(self) -> str:
        return told_age(self._prices.age) if self._prices.get() else "unknown"

    def described(self, stock: catalogue.Types) -> dict[str, InstanceType]:
        return {name: _instance_type(name, each) for name, each in stock.items()}

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        data, types, known = self._types.get(), self.types(), self._prices.get()
        for name in names:
            kind, price = types[name], known.get(name, {})
            for zone in data[name]["zones"]:
                if zone not in zones:
                    continue
                if True in kinds and kind.spot:
                    yield candidate(kind, self.name, zone, spot=True, price=price.get("spot"))
                if False in kinds and kind.on_demand:
                    yield candidate(kind, self.name, zone, spot=False, price=price.get("on_demand"))

    def family(self, name: str) -> str:
        return str(self._types.get().get(name, {}).get("family", ""))


def _instance_type(name: str, data: Mapping[str, Any]) -> InstanceType:
    return InstanceType(name, machine(data, data["gpus"]), spot=bool(data["spot"]), on_demand=True)

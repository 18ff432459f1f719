"""What AWS has in each region: instance types, zones, spot prices, and prices on demand, each as old as it may be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.offers import catalogue, prices
from dstack_cloud.backends.base import market
from dstack_cloud.backends.base.market import DAY, HOUR, Candidate, InstanceType, candidate, machine, told_age
from dstack_cloud.backends.base.region import ShelvedRegion
from dstack_cloud.backends.base.shelf import Shelf, digest

NAME = "aws"
TITLE = "AWS"


class Market(market.Market):
    """`folder` keeps what was read."""

    def __init__(self, client: AwsClient, folder: Path) -> None:
        self.folder = folder
        config = client.config
        # what one account and one choice of types sees is not what another does
        whose = digest(config.profile, config.endpoint, *config.instance_types)
        super().__init__(NAME, TITLE, lambda: client.regions, lambda name: Region(client, name, folder / whose))


class Region(ShelvedRegion[catalogue.Types]):
    def __init__(self, client: AwsClient, name: str, folder: Path) -> None:
        few = bool(client.config.instance_types)
        self._types = Shelf(
            folder / f"{name}-types.json", lambda: catalogue.types(client, name), fresh=DAY, usable=7 * DAY
        )
        self._zones = Shelf(
            folder / f"{name}-zones.json", lambda: catalogue.zones(client, name), fresh=DAY, usable=7 * DAY
        )
        self._spot = Shelf(
            folder / f"{name}-spot.json",
            lambda: prices.spot_prices(client, name, sorted(self._types.get()) if few else []),
            fresh=HOUR / 6,
            usable=HOUR,
        )
        self._on_demand: Shelf[prices.Prices] = Shelf(
            folder / f"{name}-on-demand.json",
            lambda: prices.on_demand_prices(client, name),
            fresh=DAY,
            usable=30 * DAY,
            otherwise={},
        )
        super().__init__(name, self._types, prices=(self._spot, self._on_demand), more=(self._zones,))

    def ages(self) -> str:
        on_demand = told_age(self._on_demand.age) if self._on_demand.get() else "unknown"
        return f"spot {told_age(self._spot.age)}, on demand {on_demand}"

    def described(self, stock: catalogue.Types) -> dict[str, InstanceType]:
        return {name: _instance_type(name, each) for name, each in stock.items()}

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        types, spot, on_demand = self.types(), self._spot.get(), self._on_demand.get()
        for zone, there in self._zones.get().items():
            if zone not in zones:
                continue
            here = set(names).intersection(there)
            spot_here = spot.get(zone, {}) if True in kinds else {}
            for name in here & spot_here.keys():
                if types[name].spot:
                    yield candidate(types[name], self.name, zone, spot=True, price=spot_here[name])
            for name in here if False in kinds else ():
                if types[name].on_demand:
                    yield candidate(types[name], self.name, zone, spot=False, price=on_demand.get(name))


def _instance_type(name: str, data: Mapping[str, Any]) -> InstanceType:
    """What is from before EC2's Nitro is unusual. AWS's own "current generation" leaves out too much: g5, m5."""
    usual = bool(data["nitro"]) and not data["metal"]
    return InstanceType(name, machine(data, data["gpus"]), bool(data["spot"]), bool(data["on_demand"]), usual)

"""What Google Cloud has in each region: instance types zone by zone, and the price list, each as old as it may be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base import market
from dstack_cloud.backends.base.market import DAY, Candidate, InstanceType, candidate, machine, told_age
from dstack_cloud.backends.base.region import ShelvedRegion
from dstack_cloud.backends.base.shelf import Shelf, digest
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.kinds import SPOT_ONLY, USUAL, family, is_bare_metal
from dstack_cloud.backends.gcp.offers import catalogue, prices

NAME = "gcp"
TITLE = "Google Cloud"


class Market(market.Market):
    """`folder` keeps what was read; `zones` tells those of a region."""

    def __init__(self, client: GcpClient, folder: Path, zones: Callable[[str], Sequence[str]]) -> None:
        self.folder = folder
        config = client.config
        # what one project and one choice of types sees is not what another does
        self._whose = digest(config.project, config.credentials, config.endpoint, *config.instance_types)
        self._client, self._zones = client, zones
        self._types: dict[str, Shelf[catalogue.Zones]] = {}
        # spot prices change once a month at most: https://cloud.google.com/compute/docs/instances/spot#pricing
        self._prices: Shelf[prices.Prices] = Shelf(
            folder / digest(config.endpoint) / "prices.json",
            lambda: prices.price_list(client),
            fresh=DAY,
            usable=30 * DAY,
            otherwise={},
        )

        super().__init__(
            NAME, TITLE, lambda: client.regions, lambda name: Region(name, self._types_of(name), self._prices)
        )

    def sizes(self, region: str) -> dict[str, dict[str, Any]]:
        """The instance types of a region by name, whichever zone has them, as `catalogue` describes them. Raises BackendError."""
        return {name: size for there in self._types_of(region).get().values() for name, size in there.items()}

    def _types_of(self, region: str) -> Shelf[catalogue.Zones]:
        client, zones = self._client, self._zones
        shelf: Shelf[catalogue.Zones] = Shelf(
            self.folder / self._whose / f"{region}-types.json",
            lambda: catalogue.zones(client, zones(region)),
            fresh=DAY,
            usable=7 * DAY,
        )
        return self._types.setdefault(region, shelf)


class Region(ShelvedRegion[catalogue.Zones]):
    def __init__(self, name: str, types: Shelf[catalogue.Zones], price_list: Shelf[prices.Prices]) -> None:
        super().__init__(name, types, prices=(price_list,))
        self._types, self._prices = types, price_list

    def ages(self) -> str:
        return told_age(self._prices.age) if self._prices.get().get(self.name) else "unknown"

    def described(self, stock: catalogue.Zones) -> dict[str, InstanceType]:
        sizes = {name: each for there in stock.values() for name, each in there.items()}
        return {name: _instance_type(name, each) for name, each in sizes.items()}

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        types, known, wanted = self.types(), self._prices.get().get(self.name, {}), set(names)
        for zone, there in self._types.get().items():
            for name in wanted.intersection(there) if zone in zones else ():
                kind = types[name]
                for spot in kinds:
                    if kind.spot if spot else kind.on_demand:
                        cost = prices.price(known, name, there[name], spot=spot)
                        yield candidate(kind, self.name, zone, spot=spot, price=cost)


def _instance_type(name: str, size: Mapping[str, Any]) -> InstanceType:
    usual = family(name) in USUAL and not is_bare_metal(name)
    return InstanceType(
        name, machine(size, catalogue.gpus(size)), spot=True, on_demand=name not in SPOT_ONLY, usual=usual
    )

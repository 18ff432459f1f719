from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from dstack_cloud.backends.base import market
from dstack_cloud.backends.base.market import DAY, Candidate, InstanceType, candidate, told_age
from dstack_cloud.backends.base.region import ShelvedRegion
from dstack_cloud.backends.base.shelf import Shelf, digest
from dstack_cloud.domain.resources import Machine
from tests.fakes.toy.client import ToyClient
from tests.fakes.toy.errors import translated

NAME = "toy"
TITLE = "Toyland"
# the only one of a region
ZONE = "a"


class Market(market.Market):
    def __init__(self, client: ToyClient, folder: Path) -> None:
        self.folder = folder
        whose = digest(client.config.folder, client.config.key)
        super().__init__(NAME, TITLE, lambda: client.regions, lambda name: Region(client, name, folder / whose))


class Region(ShelvedRegion[dict[str, tuple[int, int]]]):
    def __init__(self, client: ToyClient, name: str, folder: Path) -> None:
        self._client = client
        types = Shelf(folder / f"{name}-types.json", self._read_types, fresh=DAY, usable=7 * DAY)
        self._prices: Shelf[dict[str, float]] = Shelf(
            folder / f"{name}-prices.json", self._read_prices, fresh=DAY, usable=7 * DAY, otherwise={}
        )
        super().__init__(name, types, prices=(self._prices,))

    def ages(self) -> str:
        return told_age(self._prices.age)

    def described(self, stock: dict[str, tuple[int, int]]) -> dict[str, InstanceType]:
        sizes = {name: Machine(cpu=cpu, memory=memory) for name, (cpu, memory) in stock.items()}
        return {name: InstanceType(name, machine, spot=False, on_demand=True) for name, machine in sizes.items()}

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        types, prices = self.types(), self._prices.get()
        for name in names if ZONE in zones and False in kinds else ():
            yield candidate(types[name], self.name, ZONE, spot=False, price=prices.get(name))

    def _read_types(self) -> dict[str, tuple[int, int]]:
        with translated(self.name):
            return self._client.land().sizes()

    def _read_prices(self) -> dict[str, float]:
        with translated(f"price list of {self.name}"):
            return self._client.land().prices()

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from dstack_cloud.backends.base import market
from dstack_cloud.backends.base.market import DAY, Candidate, InstanceType, candidate, told_age
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


class Region:
    """Satisfies `base.market.Region`."""

    def __init__(self, client: ToyClient, name: str, folder: Path) -> None:
        self.name, self._client = name, client
        self._types = Shelf(folder / f"{name}-types.json", self._read_types, fresh=DAY, usable=7 * DAY)
        self._prices: Shelf[dict[str, float]] = Shelf(
            folder / f"{name}-prices.json", self._read_prices, fresh=DAY, usable=7 * DAY, otherwise={}
        )

    def load(self) -> None:
        self._types.get()
        self._prices.get()

    @property
    def known(self) -> bool:
        return self._types.age is not None and self._prices.age is not None

    @property
    def read_at(self) -> float | None:
        return self._prices.read_at

    def ages(self) -> str:
        return told_age(self._prices.age)

    def types(self) -> dict[str, InstanceType]:
        sizes = {name: Machine(cpu=cpu, memory=memory) for name, (cpu, memory) in self._types.get().items()}
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

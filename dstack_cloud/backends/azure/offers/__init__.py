"""What is known of one of Azure's regions, for the market of offers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.offers import catalogue
from dstack_cloud.backends.base.market import DAY, HOUR, Candidate, InstanceType, candidate, told_age
from dstack_cloud.backends.base.shelf import Shelf
from dstack_cloud.domain.resources import Gpu, Machine

NAME = "azure"
TITLE = "Azure"
# where a region has no zones, or a size none of them
ZONES = ("", "1", "2", "3")


class Region:
    """Implements `backends.base.market.Region`. Sizes change rarely; Azure changes its spot prices once a month, or a few times."""

    def __init__(self, client: AzureClient, name: str, folder: Path) -> None:
        self.name = name
        self._types = Shelf(
            folder / f"{name}-types.json", lambda: catalogue.types(client, name), fresh=DAY, usable=7 * DAY
        )
        self._prices: Shelf[catalogue.Prices] = Shelf(
            folder / f"{name}-prices.json",
            lambda: catalogue.prices(client, name),
            fresh=12 * HOUR,
            usable=7 * DAY,
            otherwise={},
        )
        self._read: tuple[object, dict[str, InstanceType]] = (None, {})

    def load(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            prices = pool.submit(self._prices.get)
            self._types.get()
            prices.result()

    @property
    def known(self) -> bool:
        return self._types.age is not None and self._prices.age is not None

    @property
    def read_at(self) -> float | None:
        return self._prices.read_at

    def ages(self) -> str:
        return told_age(self._prices.age) if self._prices.get() else "unknown"

    def types(self) -> dict[str, InstanceType]:
        data = self._types.get()
        if self._read[0] is not data:
            self._read = data, {name: _instance_type(name, each) for name, each in data.items()}
        return self._read[1]

    def family(self, name: str) -> str:
        """What quotas call a size's family; "" where it isn't known."""
        return str(self._types.get().get(name, {}).get("family", ""))

    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterator[Candidate]:
        data, types, prices = self._types.get(), self.types(), self._prices.get()
        for name in names:
            kind, price = types[name], prices.get(name, {})
            for zone in data[name]["zones"]:
                if zone not in zones:
                    continue
                if True in kinds and kind.spot:
                    yield candidate(kind, self.name, zone, spot=True, price=price.get("spot"))
                if False in kinds and kind.on_demand:
                    yield candidate(kind, self.name, zone, spot=False, price=price.get("on_demand"))


def _instance_type(name: str, data: dict[str, object]) -> InstanceType:
    gpus: list[tuple[str, int]] = data["gpus"]  # type: ignore[assignment] # what catalogue.types wrote
    machine = Machine.model_validate(
        {"cpu": data["cpu"], "memory": data["memory"], "gpus": tuple(Gpu(name=gpu, memory=size) for gpu, size in gpus)}
    )
    return InstanceType(name, machine, spot=bool(data["spot"]), on_demand=True)

"""What the regions of all clouds have alike: shelves, and what is read off them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from dstack_cloud.backends.base.market import Candidate, InstanceType
from dstack_cloud.backends.base.shelf import Shelf

Stock = TypeVar("Stock")


class ShelvedRegion(ABC, Generic[Stock]):
    """Implements `base.market.Region`, but for how a cloud's data is to be understood."""

    def __init__(
        self, name: str, stock: Shelf[Stock], prices: Sequence[Shelf[Any]], more: Sequence[Shelf[Any]] = ()
    ) -> None:
        """`stock` has the instance types, `prices` are price lists, `more` what else must be known."""
        self.name = name
        self._stock, self._price_lists, self._more = stock, prices, more
        self._described: tuple[Stock | None, Mapping[str, InstanceType]] = (None, {})

    def load(self) -> None:
        others = [*self._price_lists, *self._more]
        with ThreadPoolExecutor(len(others)) as pool:
            waiting = [pool.submit(shelf.get) for shelf in others]
            # on this thread: others may wait for it
            self._stock.get()
            for each in waiting:
                each.result()

    @property
    def known(self) -> bool:
        return all(shelf.age is not None for shelf in (self._stock, *self._price_lists, *self._more))

    @property
    def read_at(self) -> float | None:
        return min((at for shelf in self._price_lists if (at := shelf.read_at) is not None), default=None)

    @abstractmethod
    def ages(self) -> str: ...

    def types(self) -> Mapping[str, InstanceType]:
        """Described once for each stock."""
        stock = self._stock.get()
        if self._described[0] is not stock:
            self._described = stock, self.described(stock)
        return self._described[1]

    @abstractmethod
    def described(self, stock: Stock) -> Mapping[str, InstanceType]:
        """The types that are in stock, by name."""

    @abstractmethod
    def candidates(
        self, names: Collection[str], zones: Collection[str], kinds: Collection[bool]
    ) -> Iterable[Candidate]: ...

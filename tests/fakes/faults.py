"""The orders to do wrong that an emulated cloud was given, whichever it is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

ANY = "*"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Befalls at most `times` of the calls that it fits (None: all); of many, `share` by chance."""

    times: int | None = None
    share: float = 1.0


Kind = TypeVar("Kind", bound=Order)


class Book(Generic[Kind]):
    """The orders that are still to come; the first that fits is taken. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[Kind] = []

    def add(self, order: Kind) -> None:
        with self._lock:
            self._orders.append(order)

    def clear(self) -> None:
        with self._lock:
            self._orders.clear()

    def first(self, fits: Callable[[Kind], bool]) -> Kind | None:
        with self._lock:
            for index, order in enumerate(self._orders):
                if not fits(order) or random.random() >= order.share:
                    continue
                if order.times is not None:
                    left = replace(order, times=order.times - 1)
                    self._orders[index : index + 1] = [left] if left.times else []
                return order
        return None

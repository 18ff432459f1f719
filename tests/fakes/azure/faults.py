"""What Azure shall do wrong on purpose, and to whom."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.fakes.azure.calls import STATUS

ANY = "*"


@dataclass(frozen=True)
class Fault:
    """Befalls the requests that it matches, at most `times` of them (None: all); of many, `share` by chance.

    `code` is refused with; before the effect, or with `after` once it has happened, or with `later` as the end of the
    long-running operation, which was accepted. `stuck`: the operation never ends. `cut` answers nothing at all: the connection
    is closed, also before or after. `delay` is seconds of waiting first, alone or with one of those. `retry_after` is said in
    seconds (0: not at all). `match` are facts by name: `name`, `group`, `region`, `client`, and of a machine's creation `type`,
    `zone` and `market` ("spot" or "on-demand"). `status` 0: the code's own.
    """

    operation: str = ANY
    code: str = ""
    message: str = ""
    status: int = 0
    region: str = ANY
    match: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    share: float = 1.0
    after: bool = False
    later: bool = False
    stuck: bool = False
    cut: bool = False
    delay: float = 0.0
    retry_after: int = 0

    @property
    def http_status(self) -> int:
        return self.status or STATUS.get(self.code, 400)

    def befalls(self, operation: str, facts: Mapping[str, str]) -> bool:
        """An operation may be named whole, or as `virtual_machines.*`."""
        named = self.operation in (ANY, operation, f"{operation.partition('.')[0]}.{ANY}")
        wanted = {**self.match, **({} if self.region == ANY else {"region": self.region})}
        return named and all(facts.get(name, "").lower() == str(value).lower() for name, value in wanted.items())


class FaultBook:
    """The faults that are still to come; the first that fits is taken. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, operation: str, facts: Mapping[str, str]) -> Fault | None:
        with self._lock:
            for index, fault in enumerate(self._faults):
                if not fault.befalls(operation, facts) or random.random() >= fault.share:
                    continue
                if fault.times is not None:
                    left = replace(fault, times=fault.times - 1)
                    self._faults[index : index + 1] = [left] if left.times else []
                return fault
        return None

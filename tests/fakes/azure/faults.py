"""What Azure shall do wrong on purpose, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.azure.calls import STATUS
from tests.fakes.faults import ANY, Book, Order


@dataclass(frozen=True)
class Fault(Order):
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


class FaultBook(Book[Fault]):
    def take(self, operation: str, facts: Mapping[str, str]) -> Fault | None:
        return self.first(lambda fault: fault.befalls(operation, facts))

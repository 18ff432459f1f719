"""What AWS shall do wrong on purpose, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.aws.calls import Call
from tests.fakes.faults import ANY, Book, Order

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
STATUS = {
    **dict.fromkeys(("InsufficientInstanceCapacity", "InternalError"), 500),
    **dict.fromkeys(("RequestLimitExceeded", "Unavailable", "ServiceUnavailable"), 503),
    **dict.fromkeys(("UnauthorizedOperation", "AccessDenied", "InvalidClientTokenId", "ExpiredToken"), 403),
    **dict.fromkeys(("AuthFailure", "OptInRequired"), 401),
}


@dataclass(frozen=True)
class Fault(Order):
    """Befalls the calls that it matches, at most `times` of them (None: all); of many, `share` by chance.

    `code` is refused with; before the effect, or with `after` once it has happened. `cut` answers nothing at all: the connection
    is closed, also before or after. `delay` is seconds of waiting first, alone or with one of those. `match` are parameters
    by name; a launch also has `type`, `zone` and `market` ("spot" or "on-demand"). `status` 0: the code's own.
    """

    operation: str = ANY
    code: str = ""
    message: str = ""
    status: int = 0
    service: str = "ec2"
    region: str = ANY
    access_key: str = ANY
    match: Mapping[str, str] = field(default_factory=dict)
    after: bool = False
    cut: bool = False
    delay: float = 0.0

    @property
    def http_status(self) -> int:
        return self.status or STATUS.get(self.code, 400)

    def befalls(self, call: Call, facts: Mapping[str, str]) -> bool:
        pairs = (
            (self.service, call.service),
            (self.operation, call.operation),
            (self.region, call.region),
            (self.access_key, call.access_key),
        )
        known: Mapping[str, Any] = {**call.params, **facts}
        return all(wanted in (ANY, found) for wanted, found in pairs) and all(
            str(known.get(name)) == value for name, value in self.match.items()
        )


class FaultBook(Book[Fault]):
    def take(self, call: Call, facts: Mapping[str, str]) -> Fault | None:
        return self.first(lambda fault: fault.befalls(call, facts))

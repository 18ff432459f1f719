"""What Google Cloud shall do wrong on purpose, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.fakes.faults import ANY, Book, Order
from tests.fakes.gcp.wire import Json, Refusal

# the HTTP status of an error that is answered at once, by its reason; in capitals, of one that an operation ends with:
# https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation and .../resource-availability
STATUS = {
    **dict.fromkeys(("backendError", "internalError"), 500),
    **dict.fromkeys(
        ("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "forbidden", "accessNotConfigured"), 403
    ),
    **{"tooManyRequests": 429, "unavailable": 503, "notFound": 404, "authError": 401, "billingNotEnabled": 403},
    **dict.fromkeys(("ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "STOCKOUT"), 503),
    **{"QUOTA_EXCEEDED": 403, "RESOURCE_OPERATION_RATE_EXCEEDED": 429, "INTERNAL_ERROR": 500},
    **{"UNSUPPORTED_OPERATION": 400, "RESOURCE_NOT_FOUND": 404, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": 400},
    **{"EXTERNAL_RESOURCE_NOT_FOUND": 404, "SERVICE_ACCOUNT_ACCESS_DENIED": 400},
    **{"IAM_PERMISSION_DENIED": 403, "PERMISSIONS_ERROR": 403, "RESOURCE_ALREADY_EXISTS": 409},
}


@dataclass(frozen=True)
class Fault(Order):
    """Befalls the calls that it matches, at most `times` of them (None: all); of many, `share` by chance.

    `operation` is a method as "instances.insert". `code` is what is refused with: a reason (`rateLimitExceeded`) at once; a code in
    capitals (`ZONE_RESOURCE_POOL_EXHAUSTED`) inside the operation, whose own answer is HTTP 200, unless `at_once`. It happens
    before the effect, or with `after` once it was had. `cut` answers nothing at all: the connection is closed, also before or
    after. `delay` is seconds of waiting first, alone or with one of those. `never`: the operation doesn't finish, nor does it do
    anything. `match` are parameters of the path by name; an insert also has `type`, `zone`, `region`, `accelerator`, `name` and
    `market` ("spot" or "on-demand"). `caller` is an account. `status` 0: the code's own.
    """

    operation: str = ANY
    code: str = ""
    message: str = ""
    status: int = 0
    service: str = "compute"
    caller: str = ANY
    match: Mapping[str, str] = field(default_factory=dict)
    after: bool = False
    cut: bool = False
    never: bool = False
    at_once: bool = False
    delay: float = 0.0

    @property
    def http_status(self) -> int:
        return self.status or STATUS.get(self.code, 400)

    @property
    def inside(self) -> bool:
        """Whether an operation tells of it, instead of the answer to the call."""
        return self.never or (self.code.isupper() and not self.at_once)

    def refusal(self) -> Refusal:
        return Refusal(self.http_status, self.message or self.code, self.code)

    def befalls(self, id: str, caller: str, facts: Mapping[str, str]) -> bool:
        """`id` is the whole one of a method, "compute.instances.insert"."""
        service, _, operation = id.partition(".")
        pairs = ((self.service, service), (self.operation, operation), (self.caller, caller))
        return all(wanted in (ANY, found) for wanted, found in pairs) and all(
            facts.get(name) == value for name, value in self.match.items()
        )

    def error(self) -> Json:
        """As an operation has it."""
        return {
            "error": {"errors": [{"code": self.code, "message": self.message or self.code}]},
            "httpErrorStatusCode": self.http_status,
            "httpErrorMessage": HTTPStatus(self.http_status).phrase.upper(),
        }


class FaultBook(Book[Fault]):
    def take(self, id: str, caller: str, facts: Mapping[str, str]) -> Fault | None:
        return self.first(lambda fault: fault.befalls(id, caller, facts))

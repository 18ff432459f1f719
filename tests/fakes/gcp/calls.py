"""One request to a service, once it is known which method it is, who asks, and that it is well-formed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import is_spot
from tests.fakes.gcp.places import PROJECT, region_of
from tests.fakes.gcp.wire import Json


@dataclass(frozen=True)
class Caller:
    """An account. `scopes` are what its token is for; `boundary` are the rules of a token that was made smaller."""

    email: str
    scopes: frozenset[str]
    boundary: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Call:
    """`id` is the method's, `path` what lies behind the service's own ("projects/p/zones/z/instances"), `arguments` are those of the
    path and of the query. `fault` is one that the operation shall tell of."""

    id: str
    path: str
    arguments: Mapping[str, str]
    body: Json
    caller: Caller
    fault: Fault | None = None

    @property
    def project(self) -> str:
        return self.arguments["project"]


Handler = Callable[[Call], Json]


def facts(call: Call) -> dict[str, str]:
    """What a fault can be told to look for."""
    known = dict(call.arguments)
    if call.id == "compute.instances.insert":
        # nobody has looked yet whether they are what they should be
        scheduling, accelerators = call.body.get("scheduling"), call.body.get("guestAccelerators")
        spot = isinstance(scheduling, dict) and is_spot(call.body)
        first = accelerators[0] if isinstance(accelerators, list) and accelerators else {}
        accelerator = first.get("acceleratorType", "") if isinstance(first, dict) else ""
        known |= {
            "name": str(call.body.get("name", "")),
            "type": str(call.body.get("machineType", "")).rpartition("/")[2],
            "market": "spot" if spot else "on-demand",
            "accelerator": str(accelerator).rpartition("/")[2],
        }
    if "zone" in known:
        known["region"] = region_of(known["zone"])
    return known | {"project": known.get("project", PROJECT)}

"""Operations: what a change is answered with, at once, while it takes its time and may still fail.

https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.places import LINK
from tests.fakes.gcp.resources import new_id, now
from tests.fakes.gcp.wire import Json, Refusal

# a part of an operation's time in which it only waits
WAITS = 0.3
# https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/wait: no more than two minutes
LONGEST_WAIT_SECONDS = 120.0
# between two looks, at first and at last
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.005, 0.2


def nothing() -> None:
    """The effect of what has none."""


@dataclass
class Change:
    """What an operation does when its time has come. `ready`: whether that is over; `error` says what went wrong, as an operation
    has it, or nothing."""

    effect: Callable[[], None] = nothing
    ready: Callable[[], bool] = lambda: True
    error: Callable[[], Json] = dict


@dataclass
class _Running:
    document: Json
    change: Change
    begins: float
    due: float
    fault: Fault | None
    done: bool = False


class Operations:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, _Running] = {}
        self._open: dict[str, _Running] = {}

    def start(
        self, target: str, kind: str, user: str, change: Change, *, seconds: float, fault: Fault | None = None
    ) -> Json:
        """On what has this path. The document of the operation is kept up to date by `settle`."""
        scope = _scope(target)
        name = f"operation-{time.time_ns() // 10**6}-{uuid.uuid4().hex[:13]}"
        path = f"{scope}/operations/{name}"
        kinds = {"zones": "zone", "regions": "region"}
        place = {kinds[scope.split("/")[2]]: LINK + scope} if scope.split("/")[2] in kinds else {}
        document = {
            "kind": "compute#operation", "id": new_id(), "name": name, "operationType": kind, "targetLink": LINK + target,
            "targetId": new_id(), "status": "PENDING", "progress": 0, "insertTime": now(), "user": user,
            "selfLink": LINK + path, **place,
        }  # fmt: skip
        begins = time.monotonic()
        running = _Running(document, change, begins + WAITS * seconds, begins + seconds, fault)
        self._known[path] = self._open[path] = running
        return document

    def record(self, target: str, kind: str, message: str) -> None:
        """One that nobody asked for, done at once: `compute.instances.preempted`."""
        document = self.start(target, kind, "system", Change(), seconds=0)
        document.update(status="DONE", progress=100, startTime=now(), endTime=now(), statusMessage=message)

    def settle(self) -> None:
        """What is due happens."""
        moment = time.monotonic()
        for path, running in list(self._open.items()):
            document = running.document
            if document["status"] == "PENDING" and moment >= running.begins:
                document.update(status="RUNNING", startTime=now())
            if document["status"] == "RUNNING" and moment >= running.due:
                self._proceed(running)
            if document["status"] == "DONE":
                del self._open[path]

    def _proceed(self, running: _Running) -> None:
        fault = running.fault
        first, running.done = not running.done, True
        if first and not (fault and not fault.after):
            running.change.effect()
        if fault and fault.never:
            return
        if (fault and not fault.after) or running.change.ready():
            error = fault.error() if fault else running.change.error()
            running.document.update(status="DONE", progress=100, endTime=now(), **error)

    def get(self, path: str) -> Json:
        """By name or number. Raises Refusal."""
        if path in self._known:
            return self._known[path].document
        scope, _, id = path.rpartition("/")
        for known in self.below(scope):
            if known["id"] == id:
                return known
        raise Refusal(404, f"The resource '{path}' was not found", "notFound")

    def below(self, collection: str) -> list[Json]:
        return [each.document for path, each in self._known.items() if path.rpartition("/")[0] == collection]


def _scope(target: str) -> str:
    parts = target.split("/")
    return "/".join(parts[:3] if parts[2] == "global" else parts[:4])

"""What Compute Engine does over a while: each change is an operation, and its refusal is told there, while HTTP says 200.

https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import NOT_FOUND, Said, refusal, translated
from dstack_cloud.errors import BackendError, Unavailable

if TYPE_CHECKING:
    from dstack_cloud.backends.gcp.client import Operation

# one question waits for two minutes at most: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/wait
LOOK_SECONDS = 20.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# types of operations that end a machine, the most telling first: a machine that was taken back is deleted, too
# https://cloud.google.com/compute/docs/instances/preemptible#detecting_if_an_instance_was_preempted
ENDINGS = {
    "compute.instances.preempted": "a spot interruption",
    "compute.instances.hostError": "its host failed",
    "compute.instances.terminationTime": "its longest time was over",
    "compute.instances.guestTerminate": "it powered itself off",
    "delete": "it was deleted",
}
INSERT = "insert"
# one that makes a machine and hasn't ended by then won't make it any more; if it does, the reaper ends the machine
MAKING_SECONDS = 900.0


@dataclass(frozen=True)
class Past:
    """What a zone remembers of a machine. `making`: its creation is under way; `refusal`: what that came to instead;
    `ending`: how it ended, for people, "" where nothing is known of that."""

    making: bool = False
    refusal: BackendError | None = None
    ending: str = ""


class Operations:
    """Follows operations of zones (`zone` their name) and of the whole project (`zone` ""). Threads share it."""

    def __init__(
        self,
        client: GcpClient,
        clock: Callable[[], float] = time.monotonic,
        making_seconds: float = MAKING_SECONDS,
    ) -> None:
        self._client, self._clock, self._making_seconds = client, clock, making_seconds

    def wait(self, operation: Operation, where: str, seconds: float, zone: str = "") -> bool:
        """Whether it is done by then. Raises what it was refused with, if it was."""
        last = self.follow(operation, seconds, zone)
        if (refused := refused_with(last, where)) is not None:
            raise refused
        return _is_done(last)

    def follow(self, operation: Operation, seconds: float, zone: str = "") -> Operation:
        """It as it is when it is done, or so many seconds are over. Raises Unavailable where it can't be read: what becomes of
        it is open then, whatever the reason."""
        deadline, pause = self._clock() + seconds, SHORTEST_PAUSE
        while not _is_done(operation):
            left = deadline - self._clock()
            if left <= 0:
                break
            operation = self._look(str(operation.name), zone, min(left, LOOK_SECONDS)) or operation
            if not _is_done(operation):
                # a wait that was answered at once must not become a storm of questions
                time.sleep(min(pause, max(left, 0.0)))
                pause = min(pause * 2, LONGEST_PAUSE)
        return operation

    def past(self, zone: str, instance: str) -> Past:
        """Read from the zone itself: it remembers also what a server that has ended since had begun. Raises BackendError."""
        place = f"{zone}/{instance}"
        request = {"project": self._client.project, "zone": zone, "filter": f'targetLink : "/instances/{instance}"'}
        try:
            with translated(place):
                found = list(self._client.zone_operations().list(request=request, **self._client.reading))
        except BackendError as refused:
            if refused.cloud_code not in NOT_FOUND:
                raise
            return Past()
        # a name that is asked for again has an operation of each time
        last = max((each for each in found if str(each.operation_type) == INSERT), key=_begun, default=None)
        since = 0.0 if last is None else _begun(last)
        kinds = {str(each.operation_type) for each in found if _begun(each) >= since}
        ending = next((told for kind, told in ENDINGS.items() if kind in kinds), "")
        if last is None:
            return Past(ending=ending)
        if not _is_done(last):
            return Past(making=not ending and time.time() - since < self._making_seconds, ending=ending)
        return Past(refusal=refused_with(last, place), ending=ending)

    def _look(self, name: str, zone: str, seconds: float) -> Operation | None:
        """It as it is when it is done or so many seconds are over; None where nobody says now."""
        project = self._client.project
        try:
            with translated(name):
                if zone:
                    request = {"project": project, "zone": zone, "operation": name}
                    return self._client.zone_operations().wait(request=request, retry=None, timeout=seconds)
                request = {"project": project, "operation": name}
                return self._client.global_operations().wait(request=request, retry=None, timeout=seconds)
        except BackendError as wrong:
            if wrong.retryable:
                return None
            raise Unavailable(f"what becomes of it can't be read: {wrong.summary}", wrong.hint, **wrong.said) from wrong


def refused_with(operation: Operation, where: str) -> BackendError | None:
    """What it came to instead of its effect."""
    wrong = _failure(operation)
    return refusal(wrong, where) if wrong else None


def _failure(operation: Operation) -> Said | None:
    """The first of the errors that it ended with."""
    status = int(operation.http_error_status_code)
    for each in operation.error.errors:
        facts: dict[str, str] = {}
        for detail in each.error_details:
            facts.update(detail.error_info.metadatas)
        return Said(str(each.code), str(each.message), status, facts)
    return Said("backendError", str(operation.http_error_message), status) if status >= 400 else None


def _begun(operation: Operation) -> float:
    """UTC seconds: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations#Operation.FIELDS.insert_time"""
    text = str(operation.insert_time)
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _is_done(operation: Operation) -> bool:
    return getattr(operation.status, "name", str(operation.status)) == "DONE"

"""What Compute Engine does over a while: each change is an operation, and its refusal is told there, while HTTP says 200.

https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import Said, refusal, translated
from dstack_cloud.errors import BackendError, Throttled, Unavailable

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


class Operations:
    """Follows operations of zones (`zone` their name) and of the whole project (`zone` ""). Threads share it."""

    def __init__(self, client: GcpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock

    def wait(self, operation: Operation, where: str, seconds: float, zone: str = "") -> bool:
        """Whether it is done by then. Raises what it was refused with, if it was."""
        deadline, pause = self._clock() + seconds, SHORTEST_PAUSE
        while not _is_done(operation):
            left = deadline - self._clock()
            if left <= 0:
                return False
            operation = self._look(str(operation.name), zone, min(left, LOOK_SECONDS)) or operation
            if not _is_done(operation):
                # a wait that was answered at once must not become a storm of questions
                time.sleep(min(pause, max(left, 0.0)))
                pause = min(pause * 2, LONGEST_PAUSE)
        if (wrong := failure(operation)) is not None:
            raise refusal(wrong, where)
        return True

    def look(self, name: str, zone: str, where: str) -> BackendError | None:
        """What an operation that is done was refused with; None: it is under way, went well, or isn't known any more."""
        try:
            with translated(where):
                request = {"project": self._client.project, "zone": zone, "operation": name}
                found = self._client.zone_operations().get(request=request, **self._client.reading)
        except BackendError:
            return None
        wrong = failure(found)
        return refusal(wrong, where) if wrong else None

    def ending(self, zone: str, instance: str) -> str:
        """What the zone remembers of a machine's end, for people; "" for nothing."""
        request = {"project": self._client.project, "zone": zone, "filter": f'targetLink : "/instances/{instance}"'}
        try:
            with translated(zone):
                found = self._client.zone_operations().list(request=request, **self._client.reading)
                known = {str(each.operation_type) for each in found}
        except BackendError:
            # why it is gone is worth knowing, no more
            return ""
        return next((told for kind, told in ENDINGS.items() if kind in known), "")

    def _look(self, name: str, zone: str, seconds: float) -> Operation | None:
        """It as it is when it is done or so many seconds are over; None where nobody says."""
        project = self._client.project
        try:
            with translated(name):
                if zone:
                    request = {"project": project, "zone": zone, "operation": name}
                    return self._client.zone_operations().wait(request=request, retry=None, timeout=seconds)
                request = {"project": project, "operation": name}
                return self._client.global_operations().wait(request=request, retry=None, timeout=seconds)
        except (Throttled, Unavailable):
            return None


def failure(operation: Operation) -> Said | None:
    """The first of the errors that it ended with."""
    status = int(operation.http_error_status_code)
    for each in operation.error.errors:
        facts: dict[str, str] = {}
        for detail in each.error_details:
            facts.update(detail.error_info.metadatas)
        return Said(str(each.code), str(each.message), status, facts)
    return Said("backendError", str(operation.http_error_message), status) if status >= 400 else None


def _is_done(operation: Operation) -> bool:
    return getattr(operation.status, "name", str(operation.status)) == "DONE"

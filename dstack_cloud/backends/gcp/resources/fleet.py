"""The machines that are there: looked at, listed and ended, many at once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from dstack_cloud.backends.base import Health, Observed, Owned
from dstack_cloud.backends.base.batches import Batches
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import NOT_FOUND, translated
from dstack_cloud.backends.gcp.resources.machine import KEY_LABEL, OWNER_LABEL, labels, observe
from dstack_cloud.backends.gcp.resources.operations import Operations
from dstack_cloud.errors import BackendError, InvalidConfiguration, Unavailable

if TYPE_CHECKING:
    from dstack_cloud.backends.gcp.client import Disk, DisksScopedList, Instance, InstancesScopedList

Scope = TypeVar("Scope", "InstancesScopedList", "DisksScopedList")

# a zone for AI has another ending: us-central1-ai1a (https://cloud.google.com/compute/docs/regions-zones/ai-zones)
REF = re.compile(r"([a-z0-9-]+)/(disks/)?([a-z][a-z0-9-]*)")
# so many calls that name one thing each, side by side
WIDTH = 16
# https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList
PAGE = 500
# how long a machine whose creation is under way may not be there yet
UNDER_WAY_SECONDS = 120.0
UNREACHABLE = "UNREACHABLE"
# https://cloud.google.com/compute/docs/instances/instance-lifecycle: what comes before a machine's end
ALIVE = ("PROVISIONING", "STAGING", "RUNNING")


class Fleet:
    """`installation` owns what is listed. A ref is "zone/name", of a disk "zone/disks/name". Threads share it, and their questions
    are asked together."""

    def __init__(
        self,
        client: GcpClient,
        operations: Operations,
        installation: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._operations, self._clock = client, operations, clock
        # as a label holds it
        self._owner = labels({OWNER_LABEL: installation})[OWNER_LABEL]
        self._lock = threading.Lock()
        # by ref: the operation that makes it, and since when it does
        self._making: dict[str, tuple[str, float]] = {}
        self._looks: Batches[Observed] = Batches(self._look)

    def making(self, ref: str, operation: str) -> None:
        """A machine was just asked for: it isn't gone because it isn't there yet."""
        with self._lock:
            self._making[ref] = operation, self._clock()

    def made(self, ref: str) -> None:
        """Its operation is over."""
        with self._lock:
            self._making.pop(ref, None)

    def has(self, ref: str) -> bool:
        """Whether there is such a machine, and it isn't about to end."""
        found = self._get(ref)
        return found is not None and str(found.status) in ALIVE

    def inspect(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = {ref: Observed(ref, Health.GONE, detail="it isn't a machine on Google Cloud") for ref in refs}
        known = [ref for ref in refs if _is_machine(ref)]
        if known:
            answers = self._looks.ask(known)
            seen.update({ref: answers[ref] for ref in known})
        return seen

    def terminate(self, refs: Sequence[str]) -> None:
        """Side by side; raises the first refusal, once all were asked. What has no zone was never here."""
        wanted = [ref for ref in dict.fromkeys(refs) if "/" in ref]
        refused = [wrong for wrong in _side_by_side(self._end, wanted) if wrong is not None]
        if refused:
            raise refused[0]

    def listed(self) -> list[Owned]:
        """Machines first, then disks that were left behind. Raises Unavailable where one of the project's zones doesn't answer:
        what isn't listed then may be there all the same."""
        machines = [_owned(each, "") for scope in self._whole(self._machines()) for each in scope.instances]
        held = {owned.ref for owned in machines}
        disks = [each for scope in self._whole(self._disks()) for each in scope.disks]
        left = [each for each in disks if not each.users and _ref(each.zone, each.name) not in held]
        return [*machines, *(_owned(each, "disks/") for each in left)]

    def _look(self, refs: Collection[str]) -> Mapping[str, Observed]:
        config = self._client.config
        here = (each for _, scope in self._machines() for each in scope.instances)
        found = {ref: each for each in here if (ref := _ref(each.zone, each.name)) in refs}
        # a list may lag behind, or lack a zone that doesn't answer; who asks for one is told how it is
        missing = [ref for ref in refs if ref not in found]
        seen = {ref: observe(config, ref, each) for ref, each in found.items()}
        for ref in found:
            self.made(ref)
        silent: list[str] = []
        for ref, each in zip(missing, _side_by_side(self._get, missing), strict=True):
            if isinstance(each, BackendError):
                # one zone that doesn't answer says nothing about the others
                if not each.retryable or len(missing) == len(refs):
                    raise each
                silent.append(ref)
            else:
                seen[ref] = self._absent(ref) if each is None else observe(config, ref, each)
        return {**seen, **{ref: Observed(ref, Health.STARTING, detail="its zone doesn't answer") for ref in silent}}

    def _absent(self, ref: str) -> Observed:
        zone, name = ref.split("/")
        with self._lock:
            operation, since = self._making.get(ref, ("", 0.0))
        if operation:
            refused = self._operations.look(operation, zone, ref)
            if refused is None and self._clock() - since < UNDER_WAY_SECONDS:
                return Observed(ref, Health.STARTING)
            self.made(ref)
            if refused is not None:
                return Observed(ref, Health.GONE, detail=refused.summary)
        detail = self._operations.ending(zone, name) or "Google Cloud knows no such machine"
        return Observed(ref, Health.GONE, detail=detail)

    def _get(self, ref: str) -> Instance | None:
        zone, name = ref.split("/")
        request = {"project": self._client.project, "zone": zone, "instance": name}
        try:
            with translated(ref):
                return self._client.instances().get(request=request, **self._client.reading)
        except BackendError as refused:
            if refused.cloud_code not in NOT_FOUND:
                raise
            return None

    def _end(self, ref: str) -> None:
        if not REF.fullmatch(ref):
            raise InvalidConfiguration(f"{ref!r} names no machine on Google Cloud, and no disk")
        zone, name = ref.split("/")[0], ref.split("/")[-1]
        place = {"project": self._client.project, "zone": zone}
        try:
            with translated(ref):
                if _is_machine(ref):
                    self._client.instances().delete_unary(request={**place, "instance": name}, **self._client.changing)
                else:
                    self._client.disks().delete_unary(request={**place, "disk": name}, **self._client.changing)
        except BackendError as refused:
            if refused.cloud_code not in NOT_FOUND:
                raise
            self._refuse_unfinished(ref)

    def _refuse_unfinished(self, ref: str) -> None:
        """One that isn't there yet would come after all."""
        with self._lock:
            operation, since = self._making.get(ref, ("", 0.0))
        under_way = operation and self._clock() - since < UNDER_WAY_SECONDS
        if under_way and self._operations.look(operation, ref.split("/")[0], ref) is None:
            raise Unavailable(f"{ref} is still being made")

    def _machines(self) -> Iterator[tuple[str, InstancesScopedList]]:
        with translated("machines"):
            yield from self._client.instances().aggregated_list(request=self._ours(), **self._client.reading)

    def _disks(self) -> Iterator[tuple[str, DisksScopedList]]:
        with translated("disks"):
            yield from self._client.disks().aggregated_list(request=self._ours(), **self._client.reading)

    def _whole(self, scopes: Iterable[tuple[str, Scope]]) -> Iterator[Scope]:
        """https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList#body.aggregate"""
        for name, scope in scopes:
            warning: Any = scope.warning
            region = name.removeprefix("zones/").rpartition("-")[0]
            if str(warning.code) == UNREACHABLE and region in self._client.regions:
                raise Unavailable(f"{name} doesn't answer", cloud_code=UNREACHABLE, cloud_message=str(warning.message))
            yield scope

    def _ours(self) -> dict[str, object]:
        return {
            "project": self._client.project,
            "filter": f'labels.{OWNER_LABEL} = "{self._owner}"',
            "max_results": PAGE,
        }


def _owned(thing: Instance | Disk, kind: str) -> Owned:
    return Owned(_ref(thing.zone, f"{kind}{thing.name}"), str(thing.labels.get(KEY_LABEL, "")), left=bool(kind))


def _ref(zone: str, name: str) -> str:
    return f"{str(zone).rpartition('/')[2]}/{name}"


def _is_machine(ref: str) -> bool:
    found = REF.fullmatch(ref)
    return found is not None and not found[2]


def _side_by_side(call: Callable[[str], Instance | None], refs: Sequence[str]) -> list[Instance | BackendError | None]:
    """What each came to, in their order."""

    def tried(ref: str) -> Instance | BackendError | None:
        try:
            return call(ref)
        except BackendError as refused:
            return refused

    if len(refs) < 2:
        return [tried(ref) for ref in refs]
    with ThreadPoolExecutor(min(WIDTH, len(refs))) as pool:
        return list(pool.map(tried, refs))

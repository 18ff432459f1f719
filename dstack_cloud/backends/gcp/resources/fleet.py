"""The machines that are there: looked at, listed and ended, many at once."""

from __future__ import annotations

import re
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
Answer = TypeVar("Answer")

# a zone for AI has another ending: us-central1-ai1a (https://cloud.google.com/compute/docs/regions-zones/ai-zones)
REF = re.compile(r"([a-z0-9-]+)/(disks/)?([a-z][a-z0-9-]*)")
# so many calls that name one thing each, side by side
WIDTH = 16
# https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList
PAGE = 500
UNREACHABLE = "UNREACHABLE"
# https://cloud.google.com/compute/docs/instances/instance-lifecycle: what comes before a machine's end
ALIVE = ("PROVISIONING", "STAGING", "RUNNING")


class Fleet:
    """`installation` owns what is listed. A ref is "zone/name", of a disk "zone/disks/name". Threads share it, and their questions
    are asked together."""

    def __init__(self, client: GcpClient, operations: Operations, installation: str) -> None:
        self._client, self._operations = client, operations
        # as a label holds it
        self._owner = labels({OWNER_LABEL: installation})[OWNER_LABEL]
        self._looks: Batches[Observed] = Batches(self._look)

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
        refused = [wrong for wrong in _side_by_side(self._end, wanted) if isinstance(wrong, BackendError)]
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
        seen = {ref: observe(config, ref, each) for ref, each in found.items()}
        missing = [ref for ref in refs if ref not in found]
        for ref, each in zip(missing, _side_by_side(self._sought, missing), strict=True):
            if not isinstance(each, BackendError):
                seen[ref] = each
            elif not each.retryable or len(missing) == len(refs):
                raise each
            else:
                # one zone that doesn't answer says nothing about the others
                seen[ref] = Observed(ref, Health.STARTING, detail="its zone doesn't answer")
        return seen

    def _sought(self, ref: str) -> Observed:
        """Asked for alone: a list may lag behind, or lack a zone that doesn't answer."""
        found = self._get(ref)
        return self._absent(ref) if found is None else observe(self._client.config, ref, found)

    def _absent(self, ref: str) -> Observed:
        past = self._operations.past(*ref.split("/"))
        if past.making:
            return Observed(ref, Health.STARTING, detail="it is still being made")
        if past.refusal is not None:
            return Observed(ref, Health.GONE, detail=past.refusal.summary, refusal=past.refusal)
        return Observed(ref, Health.GONE, detail=past.ending or "Google Cloud knows no such machine")

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
        if _is_machine(ref) and self._operations.past(*ref.split("/")).making:
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


def _side_by_side(call: Callable[[str], Answer], refs: Sequence[str]) -> list[Answer | BackendError]:
    """What each came to, in their order."""

    def tried(ref: str) -> Answer | BackendError:
        try:
            return call(ref)
        except BackendError as refused:
            return refused

    if len(refs) < 2:
        return [tried(ref) for ref in refs]
    with ThreadPoolExecutor(min(WIDTH, len(refs))) as pool:
        return list(pool.map(tried, refs))

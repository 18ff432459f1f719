"""The machines that are there: looked at, listed and ended, many at once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated
from dstack_cloud.backends.aws.resources.machine import key_of, observe
from dstack_cloud.backends.aws.resources.policy import OWNER_TAG
from dstack_cloud.backends.base import Health, Observed, Owned
from dstack_cloud.backends.base.batches import Batches
from dstack_cloud.errors import BackendError, Unavailable

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

Answer = TypeVar("Answer")

REF = re.compile(r"([a-z0-9-]+)/((i|vol|eni)-[0-9a-f]+)")
ID = re.compile(r"\b(?:i|vol|eni)-[0-9a-f]+")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html
AT_ONCE = 1000
# how long AWS may take until every part of it has heard of a new machine:
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
CONSISTENT_SECONDS = 60.0
LIVING = ["pending", "running", "stopping", "stopped"]
MISSING = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
GONE_ALREADY = ("InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound")


class Fleet:
    """`installation` owns what is listed. A ref is "region/id". Threads share it, and their questions are asked together."""

    def __init__(self, client: AwsClient, installation: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._installation, self._clock = client, installation, clock
        self._started = clock()
        self._made: dict[str, float] = {}
        self._looks: dict[str, Batches[Observed]] = {}
        self._ends: dict[str, Batches[bool]] = {}

    def made(self, ref: str) -> None:
        """A machine was just made: it isn't gone because AWS doesn't know it yet."""
        self._made[ref] = self._clock()

    def inspect(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = {ref: Observed(ref, Health.GONE, detail="it isn't a machine on AWS") for ref in refs}
        for region, ids in _by_region(refs, "i").items():
            looks = self._looks.setdefault(region, Batches(lambda ids, region=region: self._look(region, ids)))  # type: ignore[misc]
            answers = looks.ask(ids)
            seen.update({f"{region}/{id}": answers[id] for id in ids})
        return seen

    def terminate(self, refs: Sequence[str]) -> None:
        for region, ids in _by_region(refs, "i").items():
            ends = self._ends.setdefault(region, Batches(lambda ids, region=region: self._end(region, ids)))  # type: ignore[misc]
            ends.ask(ids)
        for kind in ("vol", "eni"):
            for region, ids in _by_region(refs, kind).items():
                for id in sorted(ids):
                    self._delete(region, id)

    def find(self, region: str, key: str) -> str:
        """The ref of the machine that a key made, living or lately ended; "" where there is none."""
        filters: list[FilterTypeDef] = [
            {"Name": f"tag:{OWNER_TAG}", "Values": [self._installation]},
            {"Name": "tag:dstack-key", "Values": [key]},
        ]
        found = list(self._instances(region, filters))
        return f"{region}/{found[0]['InstanceId']}" if found else ""

    def listed(self, regions: Sequence[str]) -> list[Owned]:
        """Machines first, then disks and network interfaces that were left behind. Regions side by side."""
        with ThreadPoolExecutor(len(regions)) as pool:
            return [owned for found in pool.map(self._listed, regions) for owned in found]

    def keys(self, region: str) -> dict[str, str]:
        """{key: ref} of the living machines there."""
        return {key_of(each): f"{region}/{each['InstanceId']}" for each in self._instances(region, self._ours(LIVING))}

    def _listed(self, region: str) -> list[Owned]:
        machines = [Owned(ref, key) for key, ref in self._pairs(region)]
        ec2 = self._client.ec2(region)
        owner: FilterTypeDef = {"Name": f"tag:{OWNER_TAG}", "Values": [self._installation]}
        free: FilterTypeDef = {"Name": "status", "Values": ["available"]}
        with translated(region):
            volumes = ec2.describe_volumes(Filters=[owner, free])["Volumes"]
            interfaces = ec2.describe_network_interfaces(Filters=[owner, free])["NetworkInterfaces"]
        return [
            *machines,
            *(Owned(f"{region}/{each['VolumeId']}", key_of(each), left=True) for each in volumes),
            *(Owned(f"{region}/{each['NetworkInterfaceId']}", key_of(each), left=True) for each in interfaces),
        ]

    def _pairs(self, region: str) -> list[tuple[str, str]]:
        return [
            (key_of(each), f"{region}/{each['InstanceId']}") for each in self._instances(region, self._ours(LIVING))
        ]

    def _ours(self, states: list[str]) -> list[Any]:
        return [
            {"Name": f"tag:{OWNER_TAG}", "Values": [self._installation]},
            {"Name": "instance-state-name", "Values": states},
        ]

    def _instances(self, region: str, filters: list[FilterTypeDef]) -> Iterator[InstanceTypeDef]:
        with translated(region):
            pages = self._client.ec2(region).get_paginator("describe_instances")
            for page in pages.paginate(Filters=filters, PaginationConfig={"PageSize": 1000}):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def _look(self, region: str, ids: Collection[str]) -> Mapping[str, Observed]:
        ec2 = self._client.ec2(region)

        def described(some: list[str]) -> list[InstanceTypeDef]:
            # an answer may end anywhere: what isn't on the first page isn't gone
            with translated(region):
                pages = ec2.get_paginator("describe_instances").paginate(InstanceIds=some)
                return [each for page in pages for found in page["Reservations"] for each in found["Instances"]]

        found = {
            instance["InstanceId"]: observe(self._client.config, f"{region}/{instance['InstanceId']}", instance)
            for answer in _without_missing(ids, described)
            for instance in answer
        }
        return {id: found.get(id) or self._unseen(f"{region}/{id}") for id in ids}

    def _unseen(self, ref: str) -> Observed:
        """After a restart nobody knows what was just made: then all of it might have been."""
        if self._clock() - self._made.get(ref, self._started) < CONSISTENT_SECONDS:
            return Observed(ref, Health.STARTING)
        self._made.pop(ref, None)
        return Observed(ref, Health.GONE, detail="AWS knows no such machine")

    def _end(self, region: str, ids: Collection[str]) -> Mapping[str, bool]:
        ec2 = self._client.ec2(region)

        def ended(some: list[str]) -> None:
            with translated(region):
                ec2.terminate_instances(InstanceIds=some)

        for _ in _without_missing(ids, ended):
            pass
        for id in ids:
            # from here on, not to be found means gone
            self._made[f"{region}/{id}"] = self._clock() - CONSISTENT_SECONDS
        return dict.fromkeys(ids, True)

    def _delete(self, region: str, id: str) -> None:
        ec2 = self._client.ec2(region)
        try:
            with translated(f"{region} {id}"):
                if id.startswith("vol-"):
                    ec2.delete_volume(VolumeId=id)
                else:
                    ec2.delete_network_interface(NetworkInterfaceId=id)
        except BackendError as refused:
            if refused.cloud_code not in GONE_ALREADY:
                raise


def _by_region(refs: Sequence[str], kind: str) -> dict[str, set[str]]:
    """What isn't such a ref was never made here."""
    found: dict[str, set[str]] = {}
    for ref in refs:
        if (match := REF.fullmatch(ref)) and match[3] == kind:
            found.setdefault(match[1], set()).add(match[2])
    return found


def _without_missing(ids: Collection[str], call: Callable[[list[str]], Answer]) -> Iterator[Answer]:
    """The call's answers for all ids that AWS knows: one that it doesn't know fails the call for all of them."""
    left = sorted(ids)
    for start in range(0, len(left), AT_ONCE):
        some = left[start : start + AT_ONCE]
        while some:
            try:
                yield call(some)
                break
            except BackendError as refused:
                if refused.cloud_code not in MISSING:
                    raise
                missing = set(ID.findall(refused.cloud_message)) & set(some)
                if not missing:
                    raise Unavailable(
                        f"AWS doesn't say which machine it doesn't know: {refused.cloud_message}"
                    ) from refused
                some = [id for id in some if id not in missing]

"""The AWS backend under the suite of all backends, against the emulated cloud, and what is its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.base import Backend, Health, Launch
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import (
    BackendError,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from tests.contract.test_backend import BOOT_SECONDS, END_SECONDS, BackendContract, await_health
from tests.fakes.aws import MotoCloud
from tests.unit.aws.conftest import backend, cloud, config, installation, running_cloud

__all__ = ["backend", "cloud", "config", "installation", "running_cloud"]  # fixtures


class TestAws(BackendContract):
    @pytest.fixture
    def backend(self, backend: AwsBackend, cloud: MotoCloud) -> Iterator[AwsBackend]:
        yield backend
        cloud.forgive()
        backend.terminate([owned.ref for owned in backend.list_owned()])
        assert cloud.held() == []

    def test_an_earlier_server_made_it(
        self, backend: Backend, launch: Launch, config: AwsConfig, installation: str, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        again = AwsBackend(config, tmp_path, installation, "python:{python}")
        assert again.create(launch) == ref
        assert [owned.ref for owned in again.list_owned()] == [ref]

    def test_another_installation_neither_sees_nor_ends_it(
        self, backend: Backend, launch: Launch, config: AwsConfig, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        other = AwsBackend(config, tmp_path, uuid.uuid4().hex, "python:{python}")
        assert other.list_owned() == []
        assert backend.inspect([ref])[ref].health is Health.RUNNING

    def test_an_answer_that_was_lost_makes_no_second_machine(
        self, backend: Backend, launch: Launch, cloud: MotoCloud
    ) -> None:
        cloud.fail("RunInstances", cut=True, after=True, times=1)
        with pytest.raises(Unavailable):
            backend.create(launch)
        (owned,) = backend.list_owned()
        assert owned.key == launch.key
        assert backend.create(launch) == owned.ref

    def test_a_new_machine_that_can_not_be_seen_yet_is_starting(
        self, backend: Backend, launch: Launch, cloud: MotoCloud
    ) -> None:
        cloud.set(invisible_for=1.0)
        ref = backend.create(launch)
        assert backend.inspect([ref])[ref].health is Health.STARTING
        assert await_health(backend, ref, Health.RUNNING, BOOT_SECONDS).endpoint.startswith("ssh:dstack@")

    def test_a_spot_interruption_is_told(self, backend: Backend, cloud: MotoCloud) -> None:
        offer = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0]
        ref = backend.create(Launch(key=uuid.uuid4().hex, offer=offer))
        cloud.interrupt(ref.partition("/")[2], 0.0)
        assert await_health(backend, ref, Health.GONE, END_SECONDS).detail == "a spot interruption"

    def test_many_questions_are_few_calls(self, backend: Backend, launch: Launch, cloud: MotoCloud) -> None:
        ref = backend.create(launch)
        before = cloud.calls("DescribeInstances")
        with ThreadPoolExecutor(40) as pool:
            seen = list(pool.map(lambda _: backend.inspect([ref])[ref].ref, range(40)))
        assert seen == [ref] * 40
        assert cloud.calls("DescribeInstances") - before < 20


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InsufficientInstanceCapacity", NoCapacity),
        ("VcpuLimitExceeded", QuotaExceeded),
        ("UnauthorizedOperation", NotAuthorized),
        ("RequestLimitExceeded", Throttled),
        ("InternalError", Unavailable),
    ],
)
def test_a_refusal_is_told_once_with_its_place(
    backend: AwsBackend, cloud: MotoCloud, code: str, kind: type[BackendError]
) -> None:
    offer = backend.offers(Requirements())[0]
    cloud.fail("RunInstances", code)
    with pytest.raises(kind) as caught:
        backend.create(Launch(key=uuid.uuid4().hex, offer=offer))
    assert f"{offer.zone} {offer.instance_type}" in caught.value.summary
    assert cloud.calls("RunInstances") == 1
    assert cloud.held() == []


def test_everything_that_is_made_carries_the_tags(backend: AwsBackend, cloud: MotoCloud, installation: str) -> None:
    wanted = Requirements(gpu=GpuRequirement(name="T4"), spot_policy=SpotPolicy.SPOT)
    offer = backend.offers(wanted)[0]
    ref = backend.create(Launch(key="k1", offer=offer, lifetime=600, tags={"dstack-run": "a-1"}, disk=300 * 2**30))
    tags = {"dstack-owner": installation, "dstack-key": "k1", "dstack-run": "a-1", "dstack-lifetime": "600"}
    (disk,) = cloud.ec2().describe_volumes()["Volumes"]
    (interface,) = cloud.ec2().describe_network_interfaces()["NetworkInterfaces"]
    (reservation,) = cloud.ec2().describe_instances(InstanceIds=[ref.partition("/")[2]])["Reservations"]
    instance = reservation["Instances"][0]
    for marks in (disk["Tags"], interface["TagSet"], instance["Tags"]):
        assert {mark["Key"]: mark["Value"] for mark in marks} == tags
    assert disk["Encrypted"] and disk["VolumeType"] == "gp3" and disk["Size"] >= 300
    assert instance["InstanceLifecycle"] == "spot" and instance["Placement"]["AvailabilityZone"] == offer.zone
    assert instance["MetadataOptions"]["HttpTokens"] == "required"

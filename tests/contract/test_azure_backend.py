"""The Azure backend under the suite of all backends, against the emulated cloud, and what is its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.base import Backend, Health, Launch
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import NoCapacity, Throttled, Unavailable
from tests.contract.test_backend import BOOT_SECONDS, END_SECONDS, BackendContract, await_health
from tests.fakes.azure.cloud import AzureCloud
from tests.unit.azure.conftest import backend, cloud, config, installation, least, running_cloud

__all__ = ["backend", "cloud", "config", "installation", "running_cloud"]  # fixtures

CREATE = "virtual_machines.create_or_update"


@pytest.mark.azure
class TestAzure(BackendContract):
    @pytest.fixture
    def config(self, config: AzureConfig, cloud: AzureCloud) -> AzureConfig:
        """All of it with the least role that is printed, and no other right."""
        return least(config, cloud)

    @pytest.fixture
    def backend(self, backend: AzureBackend, cloud: AzureCloud) -> Iterator[AzureBackend]:
        yield backend
        cloud.forgive()
        backend.terminate([owned.ref for owned in backend.list_owned()])
        assert cloud.held() == []

    def test_an_earlier_server_made_it(
        self, backend: Backend, launch: Launch, config: AzureConfig, installation: str, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        again = AzureBackend(config, tmp_path, installation, "python:{python}")
        assert again.create(launch) == ref
        assert [owned.ref for owned in again.list_owned()] == [ref]

    def test_another_installation_neither_sees_nor_ends_it(
        self, backend: Backend, launch: Launch, config: AzureConfig, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        other = AzureBackend(config, tmp_path, uuid.uuid4().hex, "python:{python}")
        assert other.list_owned() == []
        assert backend.inspect([ref])[ref].health is Health.RUNNING

    @pytest.mark.parametrize("fault", [{"cut": True}, {"code": "InternalServerError"}, {"code": "ServiceUnavailable"}])
    def test_an_answer_that_was_lost_makes_no_second_machine(
        self, backend: Backend, launch: Launch, cloud: AzureCloud, fault: dict[str, Any]
    ) -> None:
        cloud.fail(CREATE, after=True, times=1, **fault)
        with pytest.raises(Unavailable):
            backend.create(launch)
        (owned,) = backend.list_owned()
        assert owned.key == launch.key
        assert backend.create(launch) == owned.ref
        assert len(cloud.instances()) == 1

    def test_lists_that_lag_hide_nothing(self, backend: Backend, launch: Launch, cloud: AzureCloud) -> None:
        cloud.set(invisible_for=1.0, lingers_for=0.5)
        ref = backend.create(launch)
        assert await_health(backend, ref, Health.RUNNING, BOOT_SECONDS).endpoint.startswith("ssh:dstack@")
        backend.terminate([ref])
        await_health(backend, ref, Health.GONE, END_SECONDS)

    def test_an_eviction_takes_it_away(self, backend: Backend, cloud: AzureCloud) -> None:
        offer = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0]
        ref = backend.create(Launch(key=uuid.uuid4().hex, offer=offer))
        (machine,) = cloud.instances("running")
        assert (machine["market"], machine["name"]) == ("spot", ref.partition("/")[2])
        cloud.interrupt(machine["id"], 0)
        assert "Azure took it back" in await_health(backend, ref, Health.GONE, END_SECONDS).detail
        (machine,) = cloud.instances()
        assert (machine["state"], machine["reason"]) == ("deleted", "evicted")
        assert (cloud.held(), backend.list_owned()) == ([], [])

    def test_one_that_powered_itself_off_is_still_there(
        self, backend: Backend, launch: Launch, cloud: AzureCloud
    ) -> None:
        ref = backend.create(launch)
        cloud.power_off(ref.partition("/")[2])
        await_health(backend, ref, Health.STOPPED, END_SECONDS)
        backend.terminate([ref])
        await_health(backend, ref, Health.GONE, END_SECONDS)

    def test_too_many_calls_are_told_as_that(self, backend: Backend, launch: Launch, cloud: AzureCloud) -> None:
        cloud.fail(CREATE, "TooManyRequests", times=1, retry_after=1)
        with pytest.raises(Throttled):
            backend.create(launch)
        assert backend.create(launch)

    def test_a_full_zone_is_no_reason_to_avoid_the_next(self, backend: Backend, cloud: AzureCloud) -> None:
        gpu = Requirements(gpu=GpuRequirement(name="T4"), spot_policy=SpotPolicy.SPOT)
        first, second, *_ = backend.offers(gpu)
        cloud.fail(CREATE, "ZonalAllocationFailed", later=True, zone=first.zone)
        with pytest.raises(NoCapacity):
            backend.create(Launch(key="full", offer=first))
        assert backend.create(Launch(key="free", offer=second))

    def test_many_at_once(self, backend: Backend, launch: Launch, cloud: AzureCloud) -> None:
        launches = [Launch(key=uuid.uuid4().hex, offer=launch.offer) for _ in range(12)]
        with ThreadPoolExecutor(12) as pool:
            refs = list(pool.map(backend.create, launches))
        before = cloud.calls("virtual_machines")
        seen = backend.inspect(refs)
        assert {one.health for one in seen.values()} == {Health.RUNNING}
        assert cloud.calls("virtual_machines") - before == 2
        backend.terminate(refs)

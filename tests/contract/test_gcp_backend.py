"""The GCP backend under the suite of all backends, against the emulated cloud, and what is its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Backend, Health, Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.errors import (
    BackendError,
    InvalidConfiguration,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from tests.contract.test_backend import BOOT_SECONDS, END_SECONDS, BackendContract, await_health
from tests.e2e.conftest import until
from tests.fakes.gcp import GoogleCloud
from tests.fakes.gcp.least import least_key
from tests.unit.gcp.conftest import any_google, backend, google, installation, write_key
from tests.unit.gcp.conftest import config as owners

__all__ = ["any_google", "backend", "google", "installation", "owners"]  # fixtures

pytestmark = pytest.mark.google


@pytest.fixture
def config(owners: GcpConfig, google: GoogleCloud, tmp_path: Path) -> GcpConfig:
    """With the role that `dstack config permissions gcp` prints, and nothing else."""
    folder = tmp_path / "least"
    folder.mkdir()
    return owners.model_copy(update={"credentials": write_key(folder, least_key(google, owners))})


class TestGcp(BackendContract):
    @pytest.fixture
    def backend(self, backend: GcpBackend, google: GoogleCloud) -> Iterator[GcpBackend]:
        yield backend
        google.forgive()
        backend.terminate([owned.ref for owned in backend.list_owned()])
        until(lambda: google.held() == [])

    def test_an_earlier_server_made_it(
        self, backend: Backend, launch: Launch, config: GcpConfig, installation: str, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        again = GcpBackend(config, tmp_path, installation, "python:{python}")
        assert again.create(launch) == ref
        assert [owned.ref for owned in again.list_owned()] == [ref]

    def test_another_installation_neither_sees_nor_ends_it(
        self, backend: Backend, launch: Launch, config: GcpConfig, tmp_path: Path
    ) -> None:
        ref = backend.create(launch)
        other = GcpBackend(config, tmp_path, uuid.uuid4().hex, "python:{python}")
        assert other.list_owned() == []
        assert backend.inspect([ref])[ref].health is Health.RUNNING

    def test_an_answer_that_was_lost_makes_no_second_machine(
        self, backend: Backend, launch: Launch, google: GoogleCloud
    ) -> None:
        google.fail("instances.insert", cut=True, after=True, times=1)
        with pytest.raises(Unavailable):
            backend.create(launch)
        (owned,) = backend.list_owned()
        assert owned.key == launch.key
        assert backend.create(launch) == owned.ref

    def test_a_listing_that_lags_hides_nothing(self, backend: Backend, launch: Launch, google: GoogleCloud) -> None:
        google.set(listing_lag=60.0)
        ref = backend.create(launch)
        assert await_health(backend, ref, Health.RUNNING, BOOT_SECONDS).endpoint.startswith("ssh:dstack@")
        google.set(listing_lag=0.0)

    def test_a_spot_interruption_is_told(self, backend: Backend, google: GoogleCloud) -> None:
        offer = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0]
        ref = backend.create(Launch(key=uuid.uuid4().hex, offer=offer))
        google.interrupt(ref.partition("/")[2], 0.0)
        assert await_health(backend, ref, Health.GONE, END_SECONDS).detail == "a spot interruption"

    def test_many_questions_are_few_calls(self, backend: Backend, launch: Launch, google: GoogleCloud) -> None:
        ref = backend.create(launch)
        before = google.calls("instances.aggregatedList")
        with ThreadPoolExecutor(40) as pool:
            seen = list(pool.map(lambda _: backend.inspect([ref])[ref].ref, range(40)))
        assert seen == [ref] * 40
        assert google.calls("instances.aggregatedList") - before < 20

    @pytest.mark.parametrize("code", ["INTERNAL_ERROR", "ZONE_RESOURCE_POOL_EXHAUSTED"])
    def test_a_failure_after_the_machine_was_made_leaves_nothing(
        self, backend: Backend, launch: Launch, google: GoogleCloud, code: str
    ) -> None:
        google.fail("instances.insert", code, after=True, times=1)
        with pytest.raises((NoCapacity, Unavailable)):
            backend.create(launch)
        until(lambda: google.held() == [])
        # asked again, it is a new request; no capacity would be tried elsewhere
        assert code != "INTERNAL_ERROR" or backend.create(launch)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", NoCapacity),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", NoCapacity),
        ("UNSUPPORTED_OPERATION", NoCapacity),
        ("QUOTA_EXCEEDED", QuotaExceeded),
        ("RESOURCE_OPERATION_RATE_EXCEEDED", Throttled),
        ("rateLimitExceeded", Throttled),
        ("IAM_PERMISSION_DENIED", NotAuthorized),
        ("authError", NotAuthorized),
        ("forbidden", NotAuthorized),
        ("INTERNAL_ERROR", Unavailable),
        ("backendError", Unavailable),
        ("accessNotConfigured", InvalidConfiguration),
        ("billingNotEnabled", InvalidConfiguration),
    ],
)
def test_a_refusal_is_told_once_with_its_place(
    backend: GcpBackend, google: GoogleCloud, code: str, kind: type[BackendError]
) -> None:
    offer = backend.offers(Requirements())[0]
    google.fail("instances.insert", code)
    with pytest.raises(kind) as caught:
        backend.create(Launch(key=uuid.uuid4().hex, offer=offer))
    assert f"{offer.zone} {offer.instance_type}" in caught.value.summary
    # with another token, the SDK tries two times more
    assert google.calls("instances.insert") == (3 if code == "authError" else 1)
    assert google.held() == []


def test_everything_that_is_made_carries_the_labels(backend: GcpBackend, owners: GcpConfig, installation: str) -> None:
    wanted = Requirements(gpu=GpuRequirement(name="T4"), spot_policy=SpotPolicy.SPOT)
    offer = backend.offers(wanted)[0]
    ref = backend.create(Launch(key="k1", offer=offer, lifetime=600, tags={"dstack-run": "A.1"}, disk=300 * 2**30))
    labels = {"dstack-owner": installation, "dstack-key": "k1", "dstack-run": "a-1", "dstack-lifetime": "600"}
    client = GcpClient(owners)
    place = {"project": client.project, "zone": offer.zone}
    name = ref.partition("/")[2]
    instance = client.instances().get(request={**place, "instance": name})
    disk = client.disks().get(request={**place, "disk": name})
    assert dict(instance.labels) == dict(disk.labels) == labels
    assert disk.size_gb >= 300 and disk.type_.endswith("/pd-balanced")
    scheduling = instance.scheduling
    assert (scheduling.provisioning_model, scheduling.instance_termination_action) == ("SPOT", "DELETE")
    assert scheduling.max_run_duration.seconds == 600 and not scheduling.automatic_restart
    assert instance.guest_accelerators[0].accelerator_count == 1


def test_nodes_reach_each_other_in_the_private_network(backend: GcpBackend, google: GoogleCloud) -> None:
    launch = Launch(key="n1", offer=backend.offers(Requirements(nodes=2))[0], nodes=2)
    ref = backend.create(launch)
    assert backend.inspect([ref])[ref].address.startswith("10.")
    alone = backend.create(replace(launch, key="n2", nodes=1))
    place = {"project": backend._client.project, "zone": launch.offer.zone}
    tags = [
        len(backend._client.instances().get(request={**place, "instance": each.partition("/")[2]}).tags.items)
        for each in (ref, alone)
    ]
    assert tags == [2, 1]

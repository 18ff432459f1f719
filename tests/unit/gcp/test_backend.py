"""What is Google Cloud's own in a machine's life."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources import machine
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, NoCapacity, Unavailable
from tests.e2e.conftest import until
from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud

pytestmark = pytest.mark.google


@pytest.fixture
def launch(backend: GcpBackend) -> Launch:
    return Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0], lifetime=600)


def place(ref: str) -> dict[str, str]:
    zone, _, name = ref.partition("/")
    return {"project": PROJECT, "zone": zone, "instance": name}


def test_a_machine_that_powered_itself_off_is_stopped_listed_and_deleted(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    ref = backend.create(launch)
    backend._client.instances().stop_unary(request=place(ref))
    until(lambda: backend.inspect([ref])[ref].health is Health.STOPPED)
    assert [owned.key for owned in backend.list_owned()] == [launch.key]
    backend.terminate([ref])
    until(lambda: backend.inspect([ref])[ref].health is Health.GONE)
    assert google.held() == []


def test_a_machine_that_somebody_else_deleted(backend: GcpBackend, launch: Launch) -> None:
    ref = backend.create(launch)
    backend._client.instances().delete_unary(request=place(ref))
    until(lambda: backend.inspect([ref])[ref].health is Health.GONE)
    assert backend.inspect([ref])[ref].detail == "it was deleted"


def test_what_google_never_had(backend: GcpBackend) -> None:
    ref = f"{ZONE}/never-was"
    assert backend.inspect([ref])[ref].detail == "Google Cloud knows no such machine"
    backend.terminate([ref, f"{ZONE}/disks/never-was"])


def leave_a_disk(backend: GcpBackend, launch: Launch) -> str:
    """The ref of a machine that is gone, but not its disk."""
    body = machine.request(backend._config, backend._installation, launch, backend._place(launch))
    body["disks"][0]["auto_delete"] = False
    ref = f"{launch.offer.zone}/{body['name']}"
    asked = {"project": PROJECT, "zone": launch.offer.zone, "instance_resource": body}
    backend._client.instances().insert_unary(request=asked)
    until(lambda: backend.inspect([ref])[ref].health is Health.RUNNING)
    backend.terminate([ref])
    until(lambda: backend.inspect([ref])[ref].health is Health.GONE)
    return ref


def test_disks_that_were_left_behind_are_owned_and_removed(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    zone, _, name = leave_a_disk(backend, launch).partition("/")
    (owned,) = backend.list_owned()
    assert (owned.ref, owned.key) == (f"{zone}/disks/{name}", launch.key)
    backend.terminate([owned.ref])
    until(lambda: google.held() == [])
    backend.terminate([owned.ref])
    assert backend.list_owned() == []


def test_a_disk_of_an_earlier_try_that_has_the_name(backend: GcpBackend, launch: Launch, google: GoogleCloud) -> None:
    first = leave_a_disk(backend, launch)
    with pytest.raises(Unavailable, match="in the way"):
        backend.create(launch)
    until(lambda: google.held() == [])
    assert backend.create(launch) == first


@pytest.fixture
def hasty(config: GcpConfig, installation: str, tmp_path: Path) -> GcpBackend:
    """One that hardly waits for an operation, nor for a zone that is silent."""
    return GcpBackend(config, tmp_path, installation, "", create_seconds=0.1, patience=1.0)


def test_an_operation_that_does_not_end_is_left_to_who_looks(
    hasty: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    google.fail("instances.insert", never=True)
    ref = hasty.create(launch)
    assert hasty.inspect([ref])[ref].health is Health.STARTING
    # it may come yet: that it isn't there now proves nothing
    with pytest.raises(Unavailable, match="still being made"):
        hasty.terminate([ref])
    assert google.held() == []


def test_one_that_fails_while_nobody_waits_is_gone_with_the_reason(
    hasty: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    google.set(operation_delay=0.5)
    google.fail("instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED")
    ref = hasty.create(launch)
    details: list[str] = []
    until(lambda: details.append((seen := hasty.inspect([ref])[ref]).detail) or seen.health is Health.GONE)
    assert "no capacity (ZONE_RESOURCE_POOL_EXHAUSTED" in details[-1]
    assert google.held() == []


def test_a_machine_that_was_taken_back_while_it_was_made(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    offer = launch.offer.model_copy(update={"spot": True})
    google.set(boot_delay=2.0)
    ref = backend.create(replace(launch, offer=offer))
    google.interrupt(ref.partition("/")[2], 0.0)
    until(lambda: backend.inspect([ref])[ref].health is Health.GONE)
    assert backend.inspect([ref])[ref].detail == "a spot interruption"


def test_an_account_that_compute_engine_has_not_heard_of_yet(
    backend: GcpBackend, launch: Launch, google: GoogleCloud, config: GcpConfig, tmp_path: Path
) -> None:
    words = f"The resource 'projects/{PROJECT}/serviceAccounts/x' of type 'serviceAccount' was not found."
    google.fail("instances.insert", "invalid", message=words, times=1)
    with pytest.raises(Unavailable, match="hasn't heard of the service account"):
        backend.create(launch)
    assert backend.create(launch)
    mine = config.model_copy(update={"service_account": "mine@p.iam.gserviceaccount.com"})
    google.fail("instances.insert", "invalid", message=words, times=1)
    with pytest.raises(InvalidConfiguration, match="no service account mine@"):
        GcpBackend(mine, tmp_path, "me", "").create(Launch(key="k2", offer=launch.offer))


def test_a_zone_that_does_not_answer_says_nothing_about_machines(
    hasty: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    elsewhere = launch.offer.model_copy(update={"zone": "us-central1-b"})
    silent, well = hasty.create(launch), hasty.create(Launch(key="k2", offer=elsewhere))
    google.set(unreachable=[launch.offer.zone])
    seen = hasty.inspect([silent, well])
    assert (seen[silent].health, seen[well].health) == (Health.STARTING, Health.RUNNING)
    # whether a machine is missing can't be told from such a list
    with pytest.raises(Unavailable, match="doesn't answer"):
        hasty.list_owned()
    google.set(unreachable=["europe-west4-a"])
    assert {owned.ref for owned in hasty.list_owned()} == {silent, well}


def test_a_zone_that_there_is_not_has_no_capacity(backend: GcpBackend, launch: Launch) -> None:
    offer = launch.offer.model_copy(update={"zone": "us-central1-z"})
    with pytest.raises(NoCapacity, match="us-central1-z"):
        backend.create(Launch(key="k", offer=offer))


def test_findings_tell_what_is_wrong_and_what_to_do(
    config: GcpConfig, backend: GcpBackend, google: GoogleCloud
) -> None:
    assert all(finding.ok for finding in backend.validate())
    google.set(disabled=["compute.googleapis.com"])
    (finding,) = GcpBackend(config, backend.home, "me", "").validate()
    assert not finding.ok and "gcloud services enable compute.googleapis.com" in finding.fix
    google.set(disabled=[], billing=False)
    (finding,) = GcpBackend(config, backend.home, "me", "").validate()
    assert not finding.ok and "gcloud billing projects link" in finding.fix


def test_nothing_is_asked_of_google_where_nothing_was_made_there(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    assert GcpBackend(config, tmp_path / "new", "me", "").list_owned() == []
    assert google.calls() == 0


def test_a_machine_without_an_identity_can_neither_delete_itself_nor_open_the_store(
    config: GcpConfig, tmp_path: Path
) -> None:
    anonymous = GcpBackend(config.model_copy(update={"service_account": "none"}), tmp_path, "me", "").capabilities
    assert (anonymous.store, anonymous.ending) == ("", "")
    own = GcpBackend(config, tmp_path, "me", "").capabilities
    assert own.store == "gs" and config.endpoint in own.ending and own.notice == "gcp"

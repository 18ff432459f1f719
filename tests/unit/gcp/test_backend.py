"""What is Google Cloud's own in a machine's life."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources import machine
from dstack_cloud.backends.gcp.resources.fleet import Fleet
from dstack_cloud.backends.gcp.resources.operations import Operations
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, NoCapacity, NotAuthorized, Unavailable
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
    # after so long it won't: the run isn't kept waiting for ever
    later = Fleet(hasty._client, Operations(hasty._client, making_seconds=0.0), "me")
    assert later.inspect([ref])[ref].health is Health.GONE
    later.terminate([ref])


def test_one_that_fails_while_nobody_waits_is_refused_also_for_a_server_that_started_since(
    hasty: GcpBackend, launch: Launch, google: GoogleCloud, config: GcpConfig, installation: str
) -> None:
    google.set(operation_delay=0.5)
    google.fail("instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED")
    ref = hasty.create(launch)
    later = GcpBackend(config, hasty.home, installation, "")
    seen: list[Observed] = []
    until(lambda: seen.append(later.inspect([ref])[ref]) or seen[-1].health is Health.GONE)
    assert isinstance(seen[-1].refusal, NoCapacity) and "ZONE_RESOURCE_POOL_EXHAUSTED" in seen[-1].detail
    # who asks again, as after a crash before the ref was kept, is told the same
    with pytest.raises(NoCapacity):
        later.create(launch)
    assert google.held() == []


def test_a_creation_is_followed_as_long_as_it_takes(hasty: GcpBackend, launch: Launch, google: GoogleCloud) -> None:
    google.set(operation_delay=0.5, boot_delay=0.5)
    ref = hasty.create(launch)
    until(lambda: hasty.inspect([ref])[ref].health is Health.RUNNING)
    assert hasty.create(launch) == ref


def test_where_an_operation_can_not_be_read_it_is_open_what_became_of_it(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    google.set(operation_delay=0.3)
    google.fail("zoneOperations.wait", "forbidden", times=1)
    with pytest.raises(Unavailable, match="can't be read"):
        backend.create(launch)
    # asked again it is the same request, and the machine that it made meanwhile
    ref = backend.create(launch)
    assert [owned.ref for owned in backend.list_owned()] == [ref]


@pytest.mark.parametrize("seconds", [0.0, 0.6])
def test_a_machine_that_is_taken_back_while_it_is_made(
    hasty: GcpBackend, launch: Launch, google: GoogleCloud, seconds: float
) -> None:
    """Before its operation has ended, or while it boots."""
    offer = launch.offer.model_copy(update={"spot": True})
    google.set(boot_delay=30.0, operation_delay=seconds)
    ref = hasty.create(replace(launch, offer=offer))
    google.interrupt(ref.partition("/")[2], 0.0)
    until(lambda: hasty.inspect([ref])[ref].health is Health.GONE)
    assert hasty.inspect([ref])[ref].detail == "a spot interruption"
    assert google.held() == []


@pytest.mark.parametrize("fault", [{"code": "INTERNAL_ERROR"}, {"never": True}, {"code": "unavailable"}, {"cut": True}])
def test_a_deletion_that_fails_or_does_not_end_is_asked_for_again(
    backend: GcpBackend, launch: Launch, google: GoogleCloud, fault: dict[str, Any]
) -> None:
    ref = backend.create(launch)
    google.fail("instances.delete", times=1, **fault)
    with contextlib.suppress(Unavailable):
        backend.terminate([ref])
    # nobody takes it for gone
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    until(lambda: backend.inspect([ref])[ref].health is Health.GONE)
    assert google.held() == []


def test_a_machine_that_dies_without_notice_is_stopped_and_its_disk_goes(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    ref = backend.create(launch)
    google.kill(ref.partition("/")[2])
    until(lambda: backend.inspect([ref])[ref].health is Health.STOPPED)
    backend.terminate([ref])
    until(lambda: google.held() == [])


@pytest.mark.parametrize("code", ["tooManyRequests", "rateLimitExceeded", "unavailable", "backendError"])
def test_questions_are_asked_again_where_google_had_no_time(
    backend: GcpBackend, launch: Launch, google: GoogleCloud, code: str
) -> None:
    ref = backend.create(launch)
    for question in ("instances.aggregatedList", "disks.aggregatedList"):
        google.fail(question, code, times=1)
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert [owned.ref for owned in backend.list_owned()] == [ref]


def test_a_login_that_ends_while_machines_run_says_nothing_about_them(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    ref = backend.create(launch)
    google.expire_tokens()
    google.fail("instances.aggregatedList", "authError")
    with pytest.raises(NotAuthorized) as caught:
        backend.inspect([ref])
    assert "gcloud auth application-default login" in str(caught.value.hint)
    google.forgive()
    assert backend.inspect([ref])[ref].health is Health.RUNNING


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

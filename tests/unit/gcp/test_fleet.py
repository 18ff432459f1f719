"""Machines while Google Cloud tells half of the truth: creations that fail late, names that are taken, APIs that are off."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.fleet import REF
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, Unavailable
from tests.e2e.conftest import until
from tests.fakes.gcp import ZONE, GoogleCloud

pytestmark = pytest.mark.google


@pytest.fixture
def launch(backend: GcpBackend) -> Launch:
    return Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0], lifetime=600)


def created(backend: GcpBackend, launch: Launch) -> str:
    """As the server asks: again, while it may work yet."""
    refs: list[str] = []

    def tried() -> bool:
        try:
            refs.append(backend.create(launch))
        except Unavailable:
            return False
        return True

    until(tried)
    return refs[0]


def test_a_machine_that_is_on_its_way_out_is_not_the_one_that_was_asked_for(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    google.set(operation_delay=0.4)
    google.fail("instances.insert", "INTERNAL_ERROR", after=True, times=1)
    with pytest.raises(Unavailable, match="Google Cloud failed"):
        backend.create(launch)
    # it is being deleted and has the name still
    with pytest.raises(Unavailable, match="in the way"):
        backend.create(launch)
    ref = created(backend, launch)
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert len(google.held()) == 2  # the machine and its disk


def test_a_machine_that_an_earlier_server_ends_is_not_given_to_the_next(
    backend: GcpBackend, launch: Launch, google: GoogleCloud, config: GcpConfig, installation: str
) -> None:
    ref = backend.create(launch)
    google.set(operation_delay=0.4)
    backend._client.instances().stop_unary(
        request={"project": backend._client.project, "zone": launch.offer.zone, "instance": ref.partition("/")[2]}
    )
    until(lambda: backend.inspect([ref])[ref].health is Health.STOPPED)
    later = GcpBackend(config, backend.home, installation, "")
    later._failures[launch.key] = 1  # Google has forgotten the first request
    assert created(later, launch) == ref
    assert later.inspect([ref])[ref].health is Health.RUNNING


def test_a_name_that_the_operation_finds_taken_is_asked_for_anew(
    backend: GcpBackend, launch: Launch, google: GoogleCloud
) -> None:
    google.fail("instances.insert", "RESOURCE_ALREADY_EXISTS", times=1)
    with pytest.raises(Unavailable, match="in the way"):
        backend.create(launch)
    assert backend.create(launch)


def test_refs_of_every_zone_are_read_and_what_is_none_is_not_taken_for_ended(backend: GcpBackend) -> None:
    assert REF.fullmatch("us-central1-ai1a/dstack-1") and REF.fullmatch("us-south1-ai1b/disks/dstack-1")
    backend.terminate([uuid.uuid4().hex, f"{ZONE}/dstack-never"])
    with pytest.raises(InvalidConfiguration, match="names no machine"):
        backend.terminate([f"{ZONE}/"])


def test_machines_are_made_though_they_can_not_be_let_delete_themselves(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    google.set(disabled=["cloudresourcemanager.googleapis.com"])
    own = GcpBackend(config.model_copy(update={"service_account": ""}), tmp_path, "me", "")
    assert created(own, Launch(key="k1", offer=own.offers(Requirements())[0]))

"""What is seen of machines whatever Azure does wrong, what a crash leaves, and how it ends: each is told as what it is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.machine import KEY_TAG, name_for
from dstack_cloud.backends.azure.resources.policy import OWNER_TAG
from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.errors import BackendError, NoCapacity, NotAuthorized, Throttled, Unavailable
from tests.fakes.azure.cloud import LOCATION, AzureCloud

pytestmark = pytest.mark.azure

CREATE, DELETE = "virtual_machines.create_or_update", "virtual_machines.delete"
LIST = "virtual_machines.list"


def test_a_disk_of_that_name_that_a_crash_left(
    backend: AzureBackend, launch: Launch, installation: str, cloud: AzureCloud
) -> None:
    backend.terminate([backend.create(replace(launch, key="first"))])
    tags = {OWNER_TAG: installation, KEY_TAG: launch.key}
    disk: Any = {
        "location": LOCATION,
        "tags": tags,
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 64},
    }
    disks, group = backend._client.compute().disks, backend._groups.name(LOCATION)
    disks.begin_create_or_update(group, f"{name_for(launch.key)}-os", disk).result()
    with pytest.raises(NoCapacity, match="a disk of an earlier try is still there") as refused:
        backend.create(launch)
    assert "already exists" in refused.value.cloud_message
    (left,) = backend.list_owned()
    assert (left.key, left.left) == (launch.key, True)
    backend.terminate([left.ref])
    assert cloud.held() == []
    assert backend.inspect([ref := backend.create(launch)])[ref].health is Health.RUNNING


def test_an_interface_of_that_name_that_a_crash_left_is_in_nobodys_way(
    backend: AzureBackend, spot: Launch, cloud: AzureCloud
) -> None:
    cloud.set(leave_behind=True)
    ref = backend.create(spot)
    cloud.interrupt(ref.partition("/")[2], 0)
    deadline = time.monotonic() + 10
    while backend.inspect([ref])[ref].health is not Health.GONE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (left,) = backend.list_owned()
    assert (left.ref.startswith(f"{LOCATION}/nic:{name_for(spot.key)}-nic"), left.key) == (True, spot.key)
    assert backend.create(spot) == ref
    assert backend.inspect([ref])[ref].health is Health.RUNNING


def test_a_deletion_that_fails_is_asked_for_again(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    ref = backend.create(launch)
    cloud.fail(DELETE, "InternalExecutionError", later=True, times=1)
    backend.terminate([ref])
    assert backend.inspect([ref])[ref].health is not Health.GONE
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    assert (backend.inspect([ref])[ref].health, cloud.held()) == (Health.GONE, [])


@pytest.mark.parametrize(("code", "kind"), [("AuthorizationFailed", NotAuthorized), ("ScopeLocked", NotAuthorized)])
def test_a_deletion_that_is_refused_is_told(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, code: str, kind: type[BackendError]
) -> None:
    ref = backend.create(launch)
    cloud.fail(DELETE, code, times=1, status=409 if code == "ScopeLocked" else 0)
    with pytest.raises(kind):
        backend.terminate([ref])
    backend.terminate([ref])
    assert cloud.held() == []


def test_a_deletion_that_never_ends_keeps_nobody_waiting(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud
) -> None:
    ref = backend.create(launch)
    cloud.fail(DELETE, stuck=True)
    before = time.monotonic()
    backend.terminate([ref])
    seen = backend.inspect([ref])[ref]
    assert (seen.health, seen.detail) == (Health.GONE, "it is being deleted")
    assert time.monotonic() - before < 5
    with pytest.raises(NoCapacity, match="taken back"):
        backend.create(launch)


@pytest.mark.parametrize("fault", [{"code": "TooManyRequests"}, {"code": "InternalServerError"}, {"cut": True}])
def test_a_look_is_taken_again(backend: AzureBackend, launch: Launch, cloud: AzureCloud, fault: dict[str, Any]) -> None:
    ref = backend.create(launch)
    cloud.fail(LIST, times=2, **fault)
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert cloud.calls(LIST) == 3


@pytest.mark.parametrize(("code", "kind"), [("TooManyRequests", Throttled), ("ServiceUnavailable", Unavailable)])
def test_a_look_that_fails_for_long_says_nothing_of_the_machine(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, code: str, kind: type[BackendError]
) -> None:
    ref = backend.create(launch)
    cloud.fail(LIST, code)
    with pytest.raises(kind):
        backend.inspect([ref])
    cloud.forgive()
    assert backend.inspect([ref])[ref].health is Health.RUNNING


def test_as_long_to_wait_as_azure_says(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    ref = backend.create(launch)
    cloud.fail(LIST, "TooManyRequests", times=1, retry_after=1)
    before = time.monotonic()
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert time.monotonic() - before >= 1


def test_a_machine_that_died_without_notice(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    ref = backend.create(launch)
    cloud.kill(ref.partition("/")[2])
    assert backend.inspect([ref])[ref].health is Health.STOPPED
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    assert (backend.inspect([ref])[ref].health, cloud.held()) == (Health.GONE, [])


def test_a_login_that_expires_while_a_machine_runs(
    backend: AzureBackend, launch: Launch, config: AzureConfig, installation: str, cloud: AzureCloud, tmp_path: Path
) -> None:
    ref = backend.create(launch)
    expired = "AADSTS7000222: The provided client secret keys for app 'c' are expired."
    cloud.fail("entra.token", "invalid_client", message=expired)
    again = AzureBackend(config, tmp_path / "again", installation, "")
    for ask in (lambda: again.inspect([ref]), lambda: again.terminate([ref]), lambda: again.create(launch)):
        with pytest.raises(NotAuthorized, match="AADSTS7000222") as refused:
            ask()
        assert "`service_principal`" in (refused.value.hint or "")
    cloud.forgive()
    again.terminate([ref])
    assert cloud.held() == []


def test_a_creation_that_is_refused_after_it_was_begun_leaves_nothing(
    backend: AzureBackend, spot: Launch, cloud: AzureCloud
) -> None:
    cloud.fail(CREATE, "SpotPriceGreaterThanProvidedMaxPrice", later=True)
    with pytest.raises(NoCapacity, match="spot price"):
        backend.create(spot)
    assert (cloud.held(), backend.list_owned()) == ([], [])

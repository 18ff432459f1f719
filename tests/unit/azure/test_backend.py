"""What is Azure's own in a machine's life."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import NO_IDENTITY, AzureConfig
from dstack_cloud.backends.azure.resources.groups import short
from dstack_cloud.backends.azure.resources.policy import needed_permissions
from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.domain.resources import Requirements, SpotPolicy
from dstack_cloud.errors import (
    BackendError,
    InvalidConfiguration,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.unit.azure.conftest import write_principal

pytestmark = pytest.mark.azure

CREATE = "virtual_machines.create_or_update"


def restarted(backend: AzureBackend, config: AzureConfig, installation: str) -> AzureBackend:
    return AzureBackend(config, backend.home, installation, "python:{python}")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("SkuNotAvailable", NoCapacity),
        ("AllocationFailed", NoCapacity),
        ("ZonalAllocationFailed", NoCapacity),
        ("OverconstrainedAllocationRequest", NoCapacity),
        ("QuotaExceeded", QuotaExceeded),
        ("AuthorizationFailed", NotAuthorized),
        ("ReadOnlyDisabledSubscription", NotAuthorized),
        ("ExpiredAuthenticationToken", NotAuthorized),
        ("TooManyRequests", Throttled),
        ("ServiceUnavailable", Unavailable),
        ("MissingSubscriptionRegistration", InvalidConfiguration),
    ],
)
def test_a_refusal_is_told_at_once(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, code: str, kind: type[BackendError]
) -> None:
    cloud.fail(CREATE, code)
    with pytest.raises(kind):
        backend.create(launch)
    assert (cloud.calls(CREATE), cloud.held()) == (1, [])


@pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest"])
def test_an_operation_that_fails_leaves_nothing(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, code: str
) -> None:
    cloud.fail(CREATE, code, later=True)
    with pytest.raises(NoCapacity, match=code):
        backend.create(launch)
    assert (cloud.held(), backend.list_owned()) == ([], [])


def test_an_answer_that_was_lost(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    cloud.fail(CREATE, cut=True, after=True, times=1)
    with pytest.raises(Unavailable):
        backend.create(launch)
    (owned,) = backend.list_owned()
    assert owned.key == launch.key
    assert backend.create(launch) == owned.ref
    assert len(cloud.instances()) == 1


def test_an_operation_is_followed_on_by_a_server_that_starts_anew(
    backend: AzureBackend,
    launch: Launch,
    cloud: AzureCloud,
    config: AzureConfig,
    installation: str,
) -> None:
    backend.terminate([backend.create(replace(launch, key="first"))])
    cloud.set(operation_seconds=0.5)
    cloud.fail(CREATE, "AllocationFailed", later=True)
    ref = AzureBackend(config, backend.home, installation, "", follow=0.0).create(launch)
    with pytest.raises(NoCapacity, match="AllocationFailed"):
        restarted(backend, config, installation).create(launch)
    assert backend.inspect([ref])[ref].health is Health.GONE


def test_one_that_is_still_being_made_is_starting(
    config: AzureConfig, launch: Launch, cloud: AzureCloud, tmp_path: Path
) -> None:
    cloud.fail(CREATE, stuck=True, times=1)
    hasty = AzureBackend(config, tmp_path, "me", "", follow=0.2)
    ref = hasty.create(launch)
    assert hasty.inspect([ref])[ref].health is Health.STARTING
    assert hasty.create(launch) == ref
    hasty.terminate([ref])
    assert cloud.held() == []


def test_what_nobody_remembers_is_known_by_the_machine_itself(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, config: AzureConfig, installation: str, tmp_path: Path
) -> None:
    ref = backend.create(launch)
    elsewhere = AzureBackend(config, tmp_path / "other", installation, "python:{python}")
    assert elsewhere.create(launch) == ref
    assert len(cloud.instances()) == 1


def test_a_machine_that_powered_itself_off_is_stopped_until_it_is_deleted(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud
) -> None:
    ref = backend.create(launch)
    cloud.power_off(ref.partition("/")[2])
    seen = backend.inspect([ref])[ref]
    assert (seen.health, seen.detail) == (Health.STOPPED, "it powered itself off")
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    assert backend.inspect([ref])[ref].health is Health.GONE
    assert cloud.held() == []


def test_one_that_is_being_deleted_is_not_waited_for(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    ref = backend.create(launch)
    cloud.set(operation_seconds=60)
    backend.terminate([ref])
    with pytest.raises(NoCapacity, match="taken back"):
        backend.create(launch)


def test_what_an_eviction_leaves_is_owned_and_removed(backend: AzureBackend, spot: Launch, cloud: AzureCloud) -> None:
    cloud.set(leave_behind=True, reserve_seconds=0)
    ref = backend.create(spot)
    cloud.interrupt(ref.partition("/")[2], 0)
    deadline = time.monotonic() + 10
    while backend.inspect([ref])[ref].health is not Health.GONE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    left = backend.list_owned()
    assert {owned.key for owned in left} == {spot.key}
    for _ in range(2):
        # an address is free when its interface is gone
        backend.terminate([owned.ref for owned in backend.list_owned()])
    assert (cloud.held(), backend.list_owned()) == ([], [])


def test_an_interface_that_is_kept_for_its_machine_is_asked_for_again(
    backend: AzureBackend, spot: Launch, cloud: AzureCloud
) -> None:
    cloud.set(leave_behind=True, reserve_seconds=60)
    ref = backend.create(spot)
    cloud.interrupt(ref.partition("/")[2], 0)
    deadline = time.monotonic() + 10
    while not any(":" in owned.ref for owned in backend.list_owned()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    backend.terminate([owned.ref for owned in backend.list_owned()])
    assert any(owned.ref.startswith(f"{LOCATION}/nic:") for owned in backend.list_owned())


@pytest.mark.parametrize(
    ("quota", "market"),
    [({"low_priority_cores": 0}, "spot"), ({"cores": 1}, "launch"), ({"family_cores": 1}, "launch")],
)
def test_a_quota_is_seen_before_anything_is_asked_for(
    backend: AzureBackend, cloud: AzureCloud, quota: dict[str, Any], market: str, request: pytest.FixtureRequest
) -> None:
    wanted: Launch = request.getfixturevalue(market)
    cloud.set(**quota)
    with pytest.raises(QuotaExceeded, match=f"in {LOCATION} is [01], 0 in use") as refused:
        backend.create(wanted)
    assert "portal.azure.com" in (refused.value.hint or "")
    assert cloud.calls(CREATE) == 0


def test_only_a_familys_quota_leaves_other_types_open(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    scopes = []
    for quota in ("family_cores", "cores"):
        cloud.set(**{"family_cores": 1000, "cores": 1000, quota: 1})
        fresh = AzureBackend(backend._config, backend.home, backend._installation, "")
        with pytest.raises(QuotaExceeded) as refused:
            fresh.create(launch)
        scopes.append(refused.value.scope)
    assert scopes == ["type", ""]


@pytest.mark.parametrize("code", ["InternalExecutionError", "VMStartTimedOut", "TooManyRequests"])
def test_a_machine_that_failed_for_good_is_removed_and_another_place_is_tried(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, code: str
) -> None:
    cloud.fail(CREATE, code, later=True)
    with pytest.raises(NoCapacity, match=code):
        backend.create(launch)
    assert (cloud.held(), backend.list_owned()) == ([], [])


def test_a_machine_that_is_there_stays_however_azure_says_it(
    backend: AzureBackend, launch: Launch, cloud: AzureCloud, config: AzureConfig, installation: str
) -> None:
    ref = backend.create(launch)
    cloud.fail(CREATE, "ConditionNotMet", status=412)
    assert restarted(backend, config, installation).create(launch) == ref
    assert backend.inspect([ref])[ref].health is Health.RUNNING


def test_what_is_in_a_region_that_is_named_no_more_is_still_owned(
    backend: AzureBackend, launch: Launch, config: AzureConfig, installation: str
) -> None:
    ref = backend.create(launch)
    elsewhere = restarted(backend, config.model_copy(update={"regions": ("northcentralus",)}), installation)
    assert [owned.ref for owned in elsewhere.list_owned()] == [ref]


def test_projects_have_groups_identities_and_rules_of_their_own(
    backend: AzureBackend, launch: Launch, config: AzureConfig, installation: str, cloud: AzureCloud
) -> None:
    mine = backend.create(launch)
    there = config.model_copy(update={"ssh_from": ("198.51.100.0/24",)})
    other = AzureBackend(there, backend.home, installation, "", "Team")
    theirs = other.create(replace(launch, key="theirs"))
    groups = {each.rpartition("/")[2] for each in cloud.held(groups=True) if each.startswith("resource group ")}
    assert groups == {f"dstack-{installation}-{name}-{LOCATION}" for name in ("main", short("Team"))}
    assert cloud.calls("user_assigned_identities.create_or_update") == 2
    rules = backend._client.network().security_rules
    opened = {rules.get(group, "dstack", "ssh").as_dict()["properties"]["sourceAddressPrefixes"][0] for group in groups}
    assert len(opened) == 2
    assert (other.inspect([theirs])[theirs].health, backend.inspect([mine])[mine].health) == (Health.RUNNING,) * 2


@pytest.mark.parametrize("group", ["main", "Other.one", "x" * 60, "in-two"])
def test_what_a_project_left_that_is_no_more_is_found_and_ended(
    launch: Launch, config: AzureConfig, installation: str, cloud: AzureCloud, tmp_path: Path, group: str
) -> None:
    AzureBackend(config, tmp_path, installation, "", group).create(launch)
    left = AzureBackend(config, tmp_path, installation, "", "in")
    (found,) = left.list_owned()
    assert found.key == launch.key
    assert left.inspect([found.ref])[found.ref].health is Health.RUNNING
    left.terminate([found.ref])
    assert (cloud.held(), left.list_owned()) == ([], [])


def test_a_group_that_was_removed_is_made_again(backend: AzureBackend, launch: Launch, installation: str) -> None:
    backend.terminate([backend.create(launch)])
    backend._client.resources().resource_groups.begin_delete(f"dstack-{installation}-main-{LOCATION}").result()
    another = replace(launch, key=uuid.uuid4().hex)
    with pytest.raises(Unavailable):
        backend.create(another)
    assert backend.create(another)


def test_nodes_of_one_job_are_put_where_they_reach_each_other(
    backend: AzureBackend, launch: Launch, config: AzureConfig, installation: str
) -> None:
    ref = backend.create(replace(launch, nodes=2))
    assert backend.inspect([ref])[ref].address
    network = backend._client.network()
    (nic,) = network.network_interfaces.list(f"dstack-{installation}-main-{LOCATION}")
    assert nic.as_dict()["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].endswith("/subnets/nodes")


def test_without_an_identity_a_machine_can_not_delete_itself(
    backend: AzureBackend, config: AzureConfig, launch: Launch, cloud: AzureCloud
) -> None:
    other = AzureBackend(config.model_copy(update={"identity": NO_IDENTITY}), backend.home, "me", "")
    assert (other.capabilities.ending, other.capabilities.self_termination, other.capabilities.store) == ("", False, "")
    assert cloud.endpoint in backend.capabilities.ending
    other.terminate([other.create(launch)])
    assert cloud.calls("role_assignments") == 0


def test_a_login_that_may_not_give_roles(
    backend: AzureBackend, config: AzureConfig, launch: Launch, cloud: AzureCloud, tmp_path: Path
) -> None:
    client = cloud.add_client(
        "Microsoft.Compute/*", "Microsoft.Network/*", "Microsoft.Resources/*", "Microsoft.ManagedIdentity/*"
    )
    principal = write_principal(tmp_path / "limited.json", cloud, client)
    limited = AzureBackend(config.model_copy(update={"service_principal": principal}), tmp_path, "me", "")
    with pytest.raises(NotAuthorized, match=r"Microsoft\.Authorization/role") as refused:
        limited.create(launch)
    assert "identity: none" in (refused.value.hint or "")


def test_an_address_that_changed_is_let_in(
    backend: AzureBackend, launch: Launch, config: AzureConfig, installation: str, cloud: AzureCloud
) -> None:
    backend.create(launch)
    moved = AzureBackend(config.model_copy(update={"ssh_from": ("198.51.100.0/24",)}), backend.home, installation, "")
    moved.create(replace(launch, key=uuid.uuid4().hex))
    rules = backend._client.network().security_rules.list(f"dstack-{installation}-main-{LOCATION}", "dstack")
    (ssh,) = [each.as_dict() for each in rules if each.name == "ssh"]
    assert ssh["properties"]["sourceAddressPrefixes"] == ["198.51.100.0/24"]


def test_the_least_role_is_enough_for_a_machines_whole_life(
    backend: AzureBackend, config: AzureConfig, spot: Launch, cloud: AzureCloud, tmp_path: Path
) -> None:
    client = cloud.add_client(*needed_permissions(config))
    principal = write_principal(tmp_path / "least.json", cloud, client)
    least = AzureBackend(config.model_copy(update={"service_principal": principal}), tmp_path / "l", "me", "")
    assert [finding.text for finding in least.validate() if not finding.ok] == []
    offer = least.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0]
    ref = least.create(replace(spot, offer=offer, nodes=2))
    assert least.inspect([ref])[ref].health is Health.RUNNING
    least.terminate([owned.ref for owned in least.list_owned()])
    assert (cloud.held(), least.list_owned()) == ([], [])


@pytest.mark.parametrize(
    "without",
    [
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "Microsoft.Compute/virtualMachines/write",
        "Microsoft.Network/virtualNetworks/write",
        "Microsoft.Network/networkSecurityGroups/write",
        "Microsoft.ManagedIdentity/userAssignedIdentities/write",
        "Microsoft.Authorization/roleDefinitions/write",
        "Microsoft.Authorization/roleAssignments/write",
    ],
)
def test_less_than_the_least_role_is_not_enough(
    config: AzureConfig, launch: Launch, cloud: AzureCloud, tmp_path: Path, without: str
) -> None:
    client = cloud.add_client(*(action for action in needed_permissions(config) if action != without))
    principal = write_principal(tmp_path / "less.json", cloud, client)
    less = AzureBackend(config.model_copy(update={"service_principal": principal}), tmp_path / "l", "me", "")
    with pytest.raises(NotAuthorized, match=re.escape(f"the permission {without} is missing")):
        less.create(launch)
    assert cloud.held() == []


def test_roles_and_identities_that_take_a_while(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    cloud.set(role_seconds=300, principal_seconds=300)
    ref = backend.create(launch)
    assert backend.inspect([ref])[ref].health is Health.RUNNING
    assert cloud.calls("role_assignments.create") == 1
    backend.create(replace(launch, key="another"))
    assert cloud.calls("role_assignments.create") == 1


def test_an_eviction_in_the_middle_of_the_creation(backend: AzureBackend, spot: Launch, cloud: AzureCloud) -> None:
    backend.terminate([backend.create(replace(spot, key="first"))])
    cloud.fail(CREATE, "OperationPreempted", later=True)
    cloud.set(operation_seconds=1.5)
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(backend.create, spot)
        until_there = time.monotonic() + 10
        while not cloud.instances("creating") and time.monotonic() < until_there:
            time.sleep(0.05)
        cloud.interrupt(cloud.instances("creating")[0]["id"], 0)
        with pytest.raises(NoCapacity, match="taken back"):
            making.result()
    assert cloud.held() == []


def test_a_quota_that_the_machine_itself_fills(backend: AzureBackend, launch: Launch, cloud: AzureCloud) -> None:
    cloud.set(cores=launch.offer.machine.cpu)
    cloud.fail(CREATE, cut=True, after=True, times=1)
    with pytest.raises(Unavailable):
        backend.create(launch)
    again = AzureBackend(backend._config, backend.home, backend._installation, "")
    ref = again.create(launch)
    assert len(cloud.instances()) == 1
    with pytest.raises(QuotaExceeded):
        AzureBackend(backend._config, backend.home, backend._installation, "").create(replace(launch, key="more"))
    again.terminate([ref])


def test_an_identity_of_the_users_that_is_not_there(backend: AzureBackend, config: AzureConfig, launch: Launch) -> None:
    identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nope"
    other = AzureBackend(config.model_copy(update={"identity": identity}), backend.home, "me", "")
    with pytest.raises(InvalidConfiguration, match="there is no identity"):
        other.create(launch)

"""Roles as they are written down, and that the least of them is enough for a machine's whole life, and less isn't: the emulated cloud
enforces it."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import yaml

from dstack_cloud.backends.base import Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.policy import (
    MOST_RULES,
    OBJECT_USER,
    OBJECT_VIEWER,
    least_permissions,
    lent_permissions,
    needed_permissions,
    own_machines,
)
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import BackendError, NotAuthorized
from tests.e2e.conftest import until
from tests.fakes.gcp import GoogleCloud
from tests.unit.gcp.conftest import write_key

google_cloud = pytest.mark.google
STORE = "gs://bucket/team"
BUCKET = "rehearsal"
REHEARSAL = f"gs://{BUCKET}/team"
# what another part of a machine's life needs, each
NEEDED = (
    *("compute.instances.create", "compute.instances.delete", "compute.instances.list", "compute.instances.setTags"),
    *("compute.instances.setServiceAccount", "compute.disks.create", "compute.disks.setLabels", "compute.disks.list"),
    *("compute.subnetworks.use", "compute.subnetworks.useExternalIp", "compute.firewalls.create", "compute.zoneOperations.get"),
    *("compute.networks.updatePolicy", "iam.serviceAccounts.actAs", "storage.buckets.setIamPolicy"),
)  # fmt: skip


def test_the_least_role_is_what_gcloud_takes() -> None:
    role = yaml.safe_load(least_permissions(GcpConfig(), STORE))
    assert role["includedPermissions"] == list(needed_permissions(GcpConfig(), STORE))
    assert "compute.instances.create" in role["includedPermissions"] and role["stage"] == "GA"


def test_less_is_needed_where_less_is_done() -> None:
    everything = set(needed_permissions(GcpConfig(), STORE))
    assert not any(each.startswith("storage.") for each in needed_permissions(GcpConfig(), "s3://bucket"))
    own = set(needed_permissions(GcpConfig(service_account="me@p.iam.gserviceaccount.com"), STORE))
    assert "iam.serviceAccounts.actAs" in own and "iam.serviceAccounts.create" not in own
    assert "storage.buckets.setIamPolicy" in everything - own
    none = needed_permissions(GcpConfig(service_account="none", public_ip=False))
    assert not any(each.startswith(("iam.", "resourcemanager.")) for each in none)
    assert "compute.subnetworks.useExternalIp" not in none


def test_a_machine_may_delete_those_of_its_kin_only() -> None:
    assert own_machines("dstack-1") == (
        'resource.type == "compute.googleapis.com/Instance"'
        ' && resource.name.extract("/instances/{name}").startsWith("dstack-1-")'
    )


def test_lent_credentials_are_limited_to_their_prefixes() -> None:
    made = lent_permissions(STORE, ["runs/a-1/"], ["code/"])
    assert made
    use, read = made["accessBoundary"]["accessBoundaryRules"]
    assert use["availableResource"] == "//storage.googleapis.com/projects/_/buckets/bucket"
    assert use["availablePermissions"] == [f"inRole:{OBJECT_USER}"]
    assert read["availablePermissions"] == [f"inRole:{OBJECT_VIEWER}"]
    expression = use["availabilityCondition"]["expression"]
    assert 'resource.name.startsWith("projects/_/buckets/bucket/objects/team/runs/a-1/")' in expression
    assert 'objectListPrefix", "").startsWith("team/runs/a-1/")' in expression


def test_many_prefixes_share_rules_until_there_are_too_many() -> None:
    some = lent_permissions(STORE, [f"p{number}/" for number in range(6 * MOST_RULES)])
    assert some and len(some["accessBoundary"]["accessBoundaryRules"]) == MOST_RULES
    # https://cloud.google.com/iam/docs/conditions-overview: no more than twelve logical operators in one
    for rule in some["accessBoundary"]["accessBoundaryRules"]:
        assert rule["availabilityCondition"]["expression"].count("||") <= 12
    assert lent_permissions(STORE, [f"p{number}/" for number in range(6 * MOST_RULES + 1)]) is None


@google_cloud
def test_the_role_that_is_printed_is_for_the_settings_and_the_store(backend: GcpBackend, config: GcpConfig) -> None:
    least = backend.permissions("gs://bucket/team")
    assert yaml.safe_load(least.document)["includedPermissions"] == list(needed_permissions(config, "gs://bucket/team"))
    assert "storage.objects.create" in least.document
    assert "gcloud iam roles create" in least.apply


def with_least_role(google: GoogleCloud, config: GcpConfig, folder: Path, *lacks: str) -> GcpBackend:
    """One whose credentials have the least role, but for what it lacks."""
    settings = config.model_copy(update={"service_account": ""})
    granted = [each for each in needed_permissions(settings, REHEARSAL) if each not in lacks]
    key = write_key(folder, google.restricted(f"least-{uuid.uuid4().hex[:6]}", granted))
    google.make_bucket(BUCKET)
    return GcpBackend(settings.model_copy(update={"credentials": key}), folder, uuid.uuid4().hex, "python:{python}")


def live(backend: GcpBackend) -> None:
    """A machine with an identity, from its offer to its end."""
    offer = backend.offers(Requirements())[0]
    ref = backend.create(Launch(uuid.uuid4().hex, offer, "#cloud-config\n", store=REHEARSAL))
    assert backend.inspect([ref])[ref].endpoint
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    until(lambda: backend.list_owned() == [])


@google_cloud
def test_the_least_role_is_enough(google: GoogleCloud, config: GcpConfig, tmp_path: Path) -> None:
    least = with_least_role(google, config, tmp_path)
    live(least)
    assert [finding for finding in least.validate() if not finding.ok] == []
    assert google.held() == []


@google_cloud
@pytest.mark.parametrize("permission", NEEDED)
def test_less_of_it_is_not(google: GoogleCloud, config: GcpConfig, tmp_path: Path, permission: str) -> None:
    with pytest.raises(BackendError) as refused:
        live(with_least_role(google, config, tmp_path, permission))
    assert permission in refused.value.summary


@google_cloud
def test_it_is_enough_for_machines_that_work_together(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    key = google.restricted("least", needed_permissions(config))
    least = config.model_copy(update={"credentials": write_key(tmp_path, key)})
    backend = GcpBackend(least, tmp_path, "least", "python:{python}")
    assert [finding for finding in backend.validate() if not finding.ok] == []
    launch = Launch(key="k1", offer=backend.offers(Requirements(nodes=2))[0], lifetime=600, nodes=2)
    ref = backend.create(launch)
    assert [owned.ref for owned in backend.list_owned()] == [ref] == list(backend.inspect([ref]))
    backend.terminate([ref])


@google_cloud
@pytest.mark.parametrize(
    "lacking", ["compute.instances.create", "iam.serviceAccounts.actAs", "compute.firewalls.create"]
)
def test_a_permission_that_is_missing_is_named(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path, lacking: str
) -> None:
    key = google.restricted("lacking", [each for each in needed_permissions(config) if each != lacking])
    least = config.model_copy(update={"credentials": write_key(tmp_path, key)})
    backend = GcpBackend(least, tmp_path, "least", "python:{python}")
    (finding,) = [finding for finding in backend.validate() if not finding.ok]
    assert lacking in finding.text and "dstack config permissions gcp" in finding.fix
    with pytest.raises(NotAuthorized, match=f"permission {lacking} is missing"):
        backend.create(Launch(key="k1", offer=backend.offers(Requirements())[0]))

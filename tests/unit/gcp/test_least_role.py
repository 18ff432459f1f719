"""The least role is enough for a machine's whole life, and less of it isn't; the emulated cloud enforces it."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.policy import permissions
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import BackendError
from tests.e2e.conftest import until
from tests.fakes.gcp import GoogleCloud
from tests.unit.gcp.conftest import write_key

pytestmark = pytest.mark.google

BUCKET = "rehearsal"
STORE = f"gs://{BUCKET}/team"
# what another part of a machine's life needs, each
NEEDED = (
    *("compute.instances.create", "compute.instances.delete", "compute.instances.list", "compute.instances.setTags"),
    *("compute.instances.setServiceAccount", "compute.disks.create", "compute.disks.setLabels", "compute.disks.list"),
    *("compute.subnetworks.use", "compute.subnetworks.useExternalIp", "compute.firewalls.create", "compute.zoneOperations.get"),
    *("compute.networks.updatePolicy", "iam.serviceAccounts.actAs", "storage.buckets.setIamPolicy"),
)  # fmt: skip


def backend(google: GoogleCloud, config: GcpConfig, folder: Path, *lacks: str) -> GcpBackend:
    """One whose credentials have the least role, but for what it lacks."""
    settings = config.model_copy(update={"service_account": ""})
    granted = [each for each in permissions(settings, STORE) if each not in lacks]
    key = write_key(folder, google.restricted(f"least-{uuid.uuid4().hex[:6]}", granted))
    google.make_bucket(BUCKET)
    return GcpBackend(settings.model_copy(update={"credentials": key}), folder, uuid.uuid4().hex, "python:{python}")


def live(backend: GcpBackend) -> None:
    """A machine with an identity, from its offer to its end."""
    offer = backend.offers(Requirements())[0]
    ref = backend.create(Launch(uuid.uuid4().hex, offer, "#cloud-config\n", store=STORE))
    assert backend.inspect([ref])[ref].endpoint
    assert [owned.ref for owned in backend.list_owned()] == [ref]
    backend.terminate([ref])
    until(lambda: backend.list_owned() == [])


def test_the_least_role_is_enough(google: GoogleCloud, config: GcpConfig, tmp_path: Path) -> None:
    least = backend(google, config, tmp_path)
    live(least)
    assert [finding for finding in least.validate() if not finding.ok] == []
    assert google.held() == []


@pytest.mark.parametrize("permission", NEEDED)
def test_less_of_it_is_not(google: GoogleCloud, config: GcpConfig, tmp_path: Path, permission: str) -> None:
    with pytest.raises(BackendError) as refused:
        live(backend(google, config, tmp_path, permission))
    assert permission in refused.value.summary

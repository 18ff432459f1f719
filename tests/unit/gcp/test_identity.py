"""Who machines are: a service account that is found or made, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.base import Launch
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.identity import Identity
from dstack_cloud.backends.gcp.resources.machine import kin_of
from dstack_cloud.backends.gcp.resources.policy import own_machines
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import NotAuthorized
from tests.e2e.conftest import until
from tests.fakes.gcp import PROJECT, GoogleCloud
from tests.unit.gcp.conftest import write_key

pytestmark = pytest.mark.google
PREFIX = "dstack-12345678"
BUCKET = "store-of-accounts"


def identity(config: GcpConfig, **settings: object) -> Identity:
    return Identity(GcpClient(config.model_copy(update=settings)), PREFIX)


def policy(config: GcpConfig) -> list[dict[str, Any]]:
    asked = {"options": {"requestedPolicyVersion": 3}}
    found = GcpClient(config).rest("projects", "POST", f"/v3/projects/{PROJECT}:getIamPolicy", asked)
    return list(found["bindings"])


def bucket_policy(config: GcpConfig) -> list[dict[str, Any]]:
    return list(GcpClient(config).rest("storage", "GET", f"/storage/v1/b/{BUCKET}/iam").get("bindings", []))


def test_machines_may_use_their_bucket_and_delete_their_own_kind_and_nothing_else(
    config: GcpConfig, google: GoogleCloud
) -> None:
    google.make_bucket(BUCKET)
    store = f"gs://{BUCKET}/team"
    email, kin = identity(config).find(store), kin_of(PREFIX, store)
    member = f"serviceAccount:{email}"
    assert email == f"{kin}@{PROJECT}.iam.gserviceaccount.com"
    (binding,) = [each for each in policy(config) if member in each["members"]]
    assert binding["role"] == f"projects/{PROJECT}/roles/dstackMachine"
    assert binding["condition"]["expression"] == own_machines(kin)
    (into,) = [each for each in bucket_policy(config) if member in each["members"]]
    assert into["role"] == "roles/storage.objectUser"


def test_a_machine_deletes_itself_and_none_of_another_store(
    backend: GcpBackend, config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    """As the machine's own script asks: with its account's token, for one instance by its name."""
    for bucket in (BUCKET, "another"):
        google.make_bucket(bucket)
    offer = backend.offers(Requirements())[0]
    own, other = (
        backend.create(Launch(key=bucket, offer=offer, store=f"gs://{bucket}")) for bucket in (BUCKET, "another")
    )
    key = google.key_file(backend._identity.find(f"gs://{BUCKET}"))
    # not over the backend's own, which would follow
    (tmp_path / "machine").mkdir()
    login = write_key(tmp_path / "machine", key)
    machine = GcpClient(config.model_copy(update={"credentials": login})).instances()
    asked = {"project": PROJECT, "zone": offer.zone}
    with pytest.raises(Exception, match=r"compute\.instances\.delete"):
        machine.delete_unary(request={**asked, "instance": other.partition("/")[2]})
    machine.delete_unary(request={**asked, "instance": own.partition("/")[2]})
    until(lambda: [owned.ref for owned in backend.list_owned()] == [other])


def test_the_account_is_made_once_and_mended_where_its_making_broke_off(config: GcpConfig, google: GoogleCloud) -> None:
    google.fail("projects.setIamPolicy", "unavailable", service="cloudresourcemanager", times=1)
    with pytest.raises(Exception, match="Google Cloud failed"):
        identity(config).find("")
    before = len(policy(config))
    email = identity(config).find("")
    assert identity(config).find("file:///store") == email
    assert google.calls("projects.serviceAccounts.create", "iam") == 1
    assert len(policy(config)) == before + 1


def test_somebody_else_who_changes_the_policy_meanwhile(config: GcpConfig, google: GoogleCloud) -> None:
    google.fail("projects.setIamPolicy", "aborted", service="cloudresourcemanager", status=409, times=2)
    assert identity(config).find("")
    assert google.calls("projects.setIamPolicy", "cloudresourcemanager") == 3


def test_without_the_right_to_give_roles_machines_are_made_all_the_same(config: GcpConfig, google: GoogleCloud) -> None:
    google.fail("projects.getIamPolicy", "forbidden", service="cloudresourcemanager")
    assert identity(config).find("")


@pytest.mark.parametrize(("setting", "email"), [("me@p.iam.gserviceaccount.com",) * 2, ("none", "")])
def test_no_account_is_made_where_none_is_needed(
    config: GcpConfig, google: GoogleCloud, setting: str, email: str
) -> None:
    assert identity(config, service_account=setting).find("gs://bucket") == email
    assert google.calls(service="iam") == 0


def test_an_account_that_may_not_be_made(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    key = google.restricted("looker", ["iam.serviceAccounts.get"])
    with pytest.raises(NotAuthorized, match=r"iam.serviceAccounts.create is missing"):
        identity(config, credentials=write_key(tmp_path, key)).find("")


def test_the_service_account_of_machines_is_made_once(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    made = GcpBackend(config, tmp_path, "me", "")
    said = made.prepare("")
    assert said.startswith("the machines' service account dstack-") and said.endswith(" is there")
    assert made.prepare("") == said
    none = config.model_copy(update={"service_account": "none"})
    assert GcpBackend(none, tmp_path, "me", "").prepare("") == ""

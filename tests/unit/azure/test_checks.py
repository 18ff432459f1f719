"""What `dstack config check` says of Azure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import NO_IDENTITY, AzureConfig
from dstack_cloud.backends.azure.resources.policy import needed_permissions
from dstack_cloud.backends.base import Finding, Launch
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.unit.azure.conftest import write_principal

pytestmark = pytest.mark.azure


def test_findings_tell_what_is_wrong_and_what_to_do(
    backend: AzureBackend, config: AzureConfig, cloud: AzureCloud, tmp_path: Path
) -> None:
    assert all(finding.ok for finding in backend.validate()), backend.validate()
    cloud.fail("subscriptions.get", "ExpiredAuthenticationToken", times=1)
    (finding,) = backend.validate()
    assert (finding.ok, "az login" in finding.fix) == (False, True)
    far = AzureBackend(config.model_copy(update={"regions": ("atlantis",)}), tmp_path, "me", "")
    assert [finding.text for finding in far.validate() if not finding.ok] == [
        "there is no region atlantis, or not for this subscription"
    ]


def test_findings_name_each_permission_that_is_missing(config: AzureConfig, cloud: AzureCloud, tmp_path: Path) -> None:
    client = cloud.add_client("*/read", "Microsoft.Compute/*")
    principal = write_principal(tmp_path / "reader.json", cloud, client)
    reader = AzureBackend(config.model_copy(update={"service_principal": principal}), tmp_path, "me", "")
    wrong = [finding for finding in reader.validate() if not finding.ok]
    assert "the permission Microsoft.Network/virtualNetworks/write is missing" in [finding.text for finding in wrong]
    assert "`dstack config permissions azure`" in wrong[-1].fix
    assert not any("Microsoft.Compute" in finding.text for finding in wrong)
    assert Finding(True, "permission Microsoft.Compute/virtualMachines/write") in reader.validate()


def test_what_machines_need_is_made_once_and_ahead(
    backend: AzureBackend, config: AzureConfig, cloud: AzureCloud
) -> None:
    said = backend.prepare("")
    assert config.regions[0] in said
    made = cloud.calls("role_assignments")
    assert made == 1 and backend.prepare("") == said
    backend.create(Launch(key="k", offer=backend.offers(Requirements())[0]))
    assert cloud.calls("role_assignments") == made
    named = config.model_copy(update={"identity": NO_IDENTITY})
    assert AzureBackend(named, backend.home, "me", "").prepare("") == ""


def test_without_an_identity_its_provider_need_not_be_registered(backend: AzureBackend, config: AzureConfig) -> None:
    without = AzureBackend(config.model_copy(update={"identity": NO_IDENTITY}), backend.home, "me", "")
    assert [any("ManagedIdentity" in each.text for each in it.validate()) for it in (backend, without)] == [True, False]


def test_the_role_that_is_printed_is_for_the_subscription(backend: AzureBackend, config: AzureConfig) -> None:
    least = backend.permissions("az://runs")
    assert json.loads(least.document)["AssignableScopes"] == [f"/subscriptions/{config.subscription}"]
    assert "az role definition create" in least.apply


def test_a_subscription_that_is_disabled(backend: AzureBackend, cloud: AzureCloud) -> None:
    cloud.set(disabled=True)
    wrong = [finding for finding in backend.validate() if not finding.ok]
    assert ["can only be read" in finding.text for finding in wrong] == [True]
    with pytest.raises(NotAuthorized, match="read-only"):
        backend.create(Launch(key="k", offer=backend.offers(Requirements())[0]))


def wrong(backend: AzureBackend) -> list[tuple[str, str]]:
    """(what is wrong, what to do)"""
    return [(finding.text, finding.fix) for finding in backend.validate() if not finding.ok]


def test_all_that_is_needed_has_a_line(backend: AzureBackend, config: AzureConfig) -> None:
    told = [finding.text for finding in backend.validate() if finding.ok]
    assert [text for text in told if text.startswith("permission ")] == [
        f"permission {action}" for action in sorted(needed_permissions(config))
    ]
    for text in (
        "Microsoft.Compute is registered",
        f"{LOCATION}: 10000 cores of Total Regional vCPUs, 0 in use",
        f"{LOCATION}: 10000 cores of Total Regional Low-priority vCPUs, 0 in use",
        f"{LOCATION}: 10000 cores of Standard NCasT4 v3 Family vCPUs, 0 in use",
        f"region {LOCATION}: ok",
    ):
        assert text in told


def test_an_expired_token(backend: AzureBackend, cloud: AzureCloud) -> None:
    cloud.set(token_seconds=-60)
    ((said, fix),) = wrong(backend)
    assert "the login has expired (ExpiredAuthenticationToken" in said and "az login" in fix


def test_a_secret_that_is_no_more(config: AzureConfig, cloud: AzureCloud, tmp_path: Path) -> None:
    principal = write_principal(tmp_path / "old.json", cloud, secret="of last year")
    ((said, fix),) = wrong(AzureBackend(config.model_copy(update={"service_principal": principal}), tmp_path, "me", ""))
    assert "AADSTS7000215" in said and "`service_principal`" in fix
    assert "of last year" not in said


def test_a_service_that_is_not_registered(backend: AzureBackend, cloud: AzureCloud) -> None:
    backend._client.resources().providers.unregister("Microsoft.Network")
    assert wrong(backend) == [
        ("the resource provider Microsoft.Network isn't registered", "az provider register -n Microsoft.Network")
    ]
    with pytest.raises(InvalidConfiguration, match=r"Microsoft\.Network isn't registered") as refused:
        backend.create(Launch(key="k", offer=backend.offers(Requirements())[0]))
    assert refused.value.hint == "az provider register -n Microsoft.Network"


@pytest.mark.parametrize(
    ("quota", "title", "is_wrong"),
    [
        ("cores", "Total Regional vCPUs", True),
        ("low_priority_cores", "Total Regional Low-priority vCPUs", False),
        ("family_cores", "Standard NCasT4 v3 Family vCPUs", True),
    ],
)
def test_a_quota_of_nothing(
    config: AzureConfig, cloud: AzureCloud, tmp_path: Path, quota: str, title: str, is_wrong: bool
) -> None:
    cloud.set(**{quota: 0})
    gpus = AzureBackend(config.model_copy(update={"instance_types": ("Standard_NC*T4*",)}), tmp_path, "me", "")
    (line,) = [finding for finding in gpus.validate() if title in finding.text]
    assert (line.ok, f"{LOCATION}: 0 cores of {title}" in line.text) == (not is_wrong, True)
    assert "portal.azure.com" in (line.fix if is_wrong else line.text)
    assert any(finding.text == f"region {LOCATION}: ok" for finding in gpus.validate()) is not is_wrong


def test_a_family_that_nobody_named_may_have_no_quota(backend: AzureBackend, cloud: AzureCloud) -> None:
    cloud.set(family_cores=0)
    assert wrong(backend) == []
    assert any("0 cores of Standard NCasT4" in each.text and "portal" in each.text for each in backend.validate())


def test_a_region_without_the_gpu_that_is_asked_for(config: AzureConfig, tmp_path: Path) -> None:
    there = {"regions": (LOCATION, "northcentralus"), "instance_types": ("standard_nc*_t4_v3", "Standard_D2s_v5")}
    both = AzureBackend(config.model_copy(update=there), tmp_path, "me", "")
    ((said, fix),) = wrong(both)
    assert said == "northcentralus: there is no size standard_nc*_t4_v3, or not for this subscription"
    assert "`regions`" in fix and "az vm list-skus" in fix
    assert f"region {LOCATION}: ok" in [finding.text for finding in both.validate()]


def test_what_can_not_be_looked_at_hides_nothing_else(backend: AzureBackend, cloud: AzureCloud) -> None:
    cloud.fail(
        "usage.list", "AuthorizationFailed", message="may not perform action 'Microsoft.Compute/locations/usages/read'"
    )
    ((said, _),) = wrong(backend)
    assert "Microsoft.Compute/locations/usages/read is missing" in said
    assert any("image " in finding.text for finding in backend.validate())

"""What `dstack config check` says of Azure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import NO_IDENTITY, AzureConfig
from dstack_cloud.backends.base import Launch
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import NotAuthorized
from tests.fakes.azure.cloud import AzureCloud
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

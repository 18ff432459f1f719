"""Logins, subscriptions, and a project that doesn't use Azure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.client import STORAGE_SCOPE, AzureClient
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized, Unavailable
from tests.fakes.azure.cloud import AzureCloud
from tests.unit.azure.conftest import write_principal

pytestmark = pytest.mark.azure

WITHOUT_SDK = """
import sys
sys.modules["azure"] = None
from pathlib import Path
from dstack_cloud.backends.registry import make_backends
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration
azure = make_backends(Path(sys.argv[1]), "me", {"azure": {"regions": ["eastus"]}}, "")["azure"]
assert not [name for name in sys.modules if name.startswith("azure.")], "the SDK was paid for"
assert azure.list_owned() == []
try:
    azure.offers(Requirements())
except InvalidConfiguration as wrong:
    print(wrong.hint)
"""


def changed(config: AzureConfig, **settings: object) -> AzureClient:
    return AzureClient(config.model_copy(update=settings))


def test_without_the_sdk_it_says_what_to_install(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "pip install 'dstack-cloud[azure]'"


def test_the_only_subscription_that_a_login_sees(
    config: AzureConfig, cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert changed(config, subscription="").subscription == cloud.subscription


def test_the_subscription_that_az_chose(config: AzureConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".azure").mkdir()
    known = {"subscriptions": [{"id": "other", "isDefault": False}, {"id": "chosen", "isDefault": True}]}
    (tmp_path / ".azure/azureProfile.json").write_text(json.dumps(known), encoding="utf-8-sig")
    assert changed(config, subscription="").subscription == "chosen"


def test_a_login_that_sees_no_subscription(
    config: AzureConfig, cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    principal = write_principal(tmp_path / "blind.json", cloud, cloud.add_client())
    with pytest.raises(InvalidConfiguration, match="no subscription"):
        _ = changed(config, subscription="", service_principal=principal).subscription


def test_no_region_is_named() -> None:
    with pytest.raises(InvalidConfiguration, match="no Azure region"):
        _ = AzureClient(AzureConfig()).regions


def test_a_secret_that_is_wrong_is_not_told(config: AzureConfig, cloud: AzureCloud, tmp_path: Path) -> None:
    principal = write_principal(tmp_path / "wrong.json", cloud, secret="a wrong secret")
    with pytest.raises(NotAuthorized, match="AADSTS7000215") as refused:
        changed(config, service_principal=principal).token(STORAGE_SCOPE)
    assert "a wrong secret" not in f"{refused.value} {refused.value.cloud_message}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "can't be read"),
        ("nonsense", "isn't JSON"),
        ("[]", "lacks something"),
        ('{"appId": "a"}', "lacks something"),
    ],
)
def test_a_file_that_is_no_principal(config: AzureConfig, tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidConfiguration, match=said) as refused:
        changed(config, service_principal=str(path)).login()
    assert "az ad sp create-for-rbac" in (refused.value.hint or "")


def test_an_emulator_wants_a_principal(config: AzureConfig) -> None:
    with pytest.raises(NotAuthorized, match="no login for the emulator"):
        changed(config, service_principal="").login()


def test_tokens_for_the_store_say_when_they_expire(client: AzureClient) -> None:
    found = client.credentials()
    assert found["token"] and found["expires_at"].tzinfo


def test_an_operation_is_followed_at_azure_only(client: AzureClient) -> None:
    with pytest.raises(InvalidConfiguration, match="another host"):
        client.follow("https://example.org/operations/1", "here")


def test_azure_may_name_the_port_that_goes_without_saying() -> None:
    azure = AzureClient(AzureConfig())
    assert azure.is_asked("https://management.azure.com:443/subscriptions/s/operations/1")
    assert not azure.is_asked("https://management.azure.com.example.org/operations/1")


def test_nobody_answers(config: AzureConfig) -> None:
    with pytest.raises(Unavailable):
        changed(config, endpoint="http://127.0.0.1:9").call("GET", "/subscriptions", "2022-12-01")

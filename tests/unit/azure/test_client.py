"""Logins, subscriptions, and a project that doesn't use Azure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.client import MANAGEMENT_SCOPE, STORAGE_SCOPE, AzureClient
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized, Unavailable
from tests.fakes import tls
from tests.fakes.azure import directory
from tests.fakes.azure.cloud import AzureCloud
from tests.fakes.azure.directory import CLIENT, SECRET, TENANT
from tests.fakes.azure.entra import Entra
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.world import World
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


def test_who_logs_in_again_is_followed(config: AzureConfig, cloud: AzureCloud) -> None:
    principal = Path(config.service_principal)
    write_principal(principal, cloud, secret="a wrong secret")
    client = AzureClient(config)
    with pytest.raises(NotAuthorized):
        client.call("GET", "/subscriptions", "2022-12-01")
    write_principal(principal, cloud)
    assert client.call("GET", "/subscriptions", "2022-12-01")["value"]
    assert client.token(STORAGE_SCOPE).token


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


@pytest.fixture
def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, str]]:
    """Entra ID's token endpoint over TLS, as Microsoft's own library wants it, and its URL."""
    world = World()
    with tls.served(Entra(lambda *_: [], world), tmp_path) as (url, certificate):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        yield world, url


def logged_in(url: str, folder: Path, secret: str = SECRET) -> AzureClient:
    (folder / "sp.json").write_text(json.dumps({"appId": CLIENT, "password": secret, "tenant": TENANT}))
    return AzureClient(AzureConfig(endpoint=url, service_principal=str(folder / "sp.json")))


def test_a_service_principal_logs_in_with_microsofts_own_library(entra: tuple[World, str], tmp_path: Path) -> None:
    world, url = entra
    client = logged_in(url, tmp_path)
    assert type(client.login()).__module__.startswith("azure.identity")
    found = [client.token(scope).token for scope in (MANAGEMENT_SCOPE, STORAGE_SCOPE, MANAGEMENT_SCOPE)]
    assert [directory.claims(token)["aud"] for token in found[:2]] == [directory.MANAGEMENT, directory.STORAGE]
    # it keeps what is good for an hour
    assert (found[0], world.calls["entra.token"]) == (found[2], 2)


def test_what_entra_refuses_is_told_without_the_secret(entra: tuple[World, str], tmp_path: Path) -> None:
    world, url = entra
    with pytest.raises(NotAuthorized, match="AADSTS7000215") as wrong:
        logged_in(url, tmp_path, "a wrong secret").token(MANAGEMENT_SCOPE)
    expired = "AADSTS7000222: The provided client secret keys for app 'c' are expired."
    world.faults.add(Fault("entra.token", "invalid_client", message=expired, times=1))
    with pytest.raises(NotAuthorized, match="AADSTS7000222") as old:
        logged_in(url, tmp_path).token(MANAGEMENT_SCOPE)
    for refused in (wrong.value, old.value):
        assert "`service_principal`" in (refused.hint or "")
        assert not any(secret in f"{refused} {refused.cloud_message}" for secret in ("a wrong secret", SECRET))


def as_az(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> AzureClient:
    """A client whose login is that of an Azure CLI which does what a script says."""
    (folder / "az").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return AzureClient(AzureConfig(tenant=TENANT))


def test_the_login_of_the_azure_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"accessToken": "of az", "expires_on": 4102444800, "tenant": TENANT, "tokenType": "Bearer"}
    client = as_az(tmp_path, f"echo \"$*\" >{tmp_path}/asked; echo '{json.dumps(told)}'", monkeypatch)
    assert (client.token(MANAGEMENT_SCOPE).token, client.token(MANAGEMENT_SCOPE).expires_on) == ("of az", 4102444800)
    asked = (tmp_path / "asked").read_text()
    assert "account get-access-token" in asked and f"--tenant {TENANT}" in asked


def test_a_login_of_the_azure_cli_that_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: AADSTS70043: The refresh token has expired or is invalid due to sign-in frequency checks."
    client = as_az(tmp_path, f"echo '{said}' >&2; exit 1", monkeypatch)
    with pytest.raises(NotAuthorized, match="AADSTS70043") as refused:
        client.token(MANAGEMENT_SCOPE)
    assert "`az login`" in (refused.value.hint or "")


def test_no_login_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what a managed identity is asked for: nobody is there
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/token")
    monkeypatch.setenv("IDENTITY_HEADER", "none")
    client = as_az(tmp_path, "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1", monkeypatch)
    with pytest.raises(NotAuthorized, match="there is no login for Azure") as refused:
        client.token(MANAGEMENT_SCOPE)
    assert "`az login`" in (refused.value.hint or "")

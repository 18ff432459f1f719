"""What is found of each cloud on a computer: files as the clouds' own tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.aws.resources.logins import QUESTIONNAIRE as AWS
from dstack_cloud.backends.azure.resources.logins import QUESTIONNAIRE as AZURE
from dstack_cloud.backends.base.questions import Login, Questionnaire, Surroundings
from dstack_cloud.backends.gcp.resources.logins import QUESTIONNAIRE as GCP

ID = "00000000-0000-0000-0000-00000000000{}"
ADC = ".config/gcloud/application_default_credentials.json"


def find(cloud: Questionnaire, home: Path, settings: dict[str, Any] | None = None, **environment: str) -> list[Login]:
    return list(cloud.find(Surroundings(home, environment, settings or {})))


def write(home: Path, path: str, text: str | dict[str, Any], encoding: str = "utf-8") -> None:
    (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / path).write_text(text if isinstance(text, str) else json.dumps(text), encoding=encoding)


def subscription(number: int, **changes: Any) -> dict[str, Any]:
    user = {"name": "me@x.org", "type": "user"}
    return {"id": ID.format(number), "name": f"Sub {number}", "state": "Enabled", "user": user, **changes}


@pytest.mark.parametrize("cloud", [AWS, GCP, AZURE])
def test_nothing_and_nonsense_are_no_login(cloud: Questionnaire, tmp_path: Path) -> None:
    assert find(cloud, tmp_path) == []
    for path in (".aws/credentials", ".aws/config", ADC, ".azure/azureProfile.json", ".azure/config"):
        write(tmp_path, path, "[[[ no \x00 such")
    assert find(cloud, tmp_path) == []
    for path in (".aws/credentials", ADC, ".azure/azureProfile.json"):
        write(tmp_path, path, "[1, 2]")
    assert find(cloud, tmp_path) == []


@pytest.mark.parametrize("cloud", [AWS, GCP, AZURE])
def test_a_table_can_be_asked(cloud: Questionnaire) -> None:
    assert all(cloud.said_of(each.key) and (each.question or not each.required) for each in cloud.settings)
    assert len({setting.key for setting in cloud.settings}) == len(cloud.settings)


def test_profiles_of_aws(tmp_path: Path) -> None:
    keys = "[{}]\naws_access_key_id = AKIA\naws_secret_access_key = s3cret%x\n"
    write(tmp_path, ".aws/credentials", keys.format("default") + keys.format("work") + "[empty]\n")
    write(
        tmp_path,
        ".aws/config",
        "[default]\nregion = eu-west-1\n[profile sso]\nsso_session = x\n[profile none]\nregion = a\n",
    )
    found = find(AWS, tmp_path)
    assert [login.name for login in found] == ["profile default", "profile sso", "profile work"]
    assert [login.place for login in found] == ["~/.aws/credentials", "~/.aws/config", "~/.aws/credentials"]
    assert (found[0].settings, found[0].suggests, found[0].preferred) == (
        {"profile": ""},
        {"regions": ["eu-west-1"]},
        True,
    )
    assert "s3cret" not in repr(found)
    chosen = find(AWS, tmp_path, AWS_PROFILE="work", AWS_REGION="us-west-2")[0]
    assert (chosen.settings, chosen.suggests, chosen.preferred) == (
        {"profile": "work"},
        {"regions": ["us-west-2"]},
        True,
    )


def test_regions_of_aws_are_known_offline() -> None:
    assert {"eu-west-1", "us-east-1", "cn-north-1"} <= set(AWS.known("regions"))
    assert not AWS.known("profile")


def test_logins_of_google_cloud(tmp_path: Path) -> None:
    write(tmp_path, ADC, {"type": "authorized_user", "refresh_token": "s3cret", "quota_project_id": "quota-1"})
    [login] = find(GCP, tmp_path)
    assert (login.settings, login.suggests, login.place) == ({"credentials": ""}, {"project": "quota-1"}, f"~/{ADC}")
    write(tmp_path, ".config/gcloud/active_config", "mine\n")
    write(
        tmp_path,
        ".config/gcloud/configurations/config_mine",
        "[core]\nproject = my-1\n[compute]\nzone = europe-west4-a\n",
    )
    assert find(GCP, tmp_path)[0].suggests == {"project": "my-1", "regions": ["europe-west4"]}
    assert "s3cret" not in repr(find(GCP, tmp_path))


def test_keys_of_google_cloud_that_the_shell_or_the_configuration_names(tmp_path: Path) -> None:
    key = {"type": "service_account", "project_id": "p-12345", "client_email": "me@p", "private_key": "s3cret"}
    write(tmp_path, "key.json", key)
    write(tmp_path, ADC, {"type": "authorized_user"})
    path = str(tmp_path / "key.json")
    for found in (find(GCP, tmp_path, GOOGLE_APPLICATION_CREDENTIALS=path), find(GCP, tmp_path, {"credentials": path})):
        assert [login.preferred for login in found] == [True, False]
        assert (found[0].name, found[0].settings) == ("key of me@p", {"credentials": path})
        assert found[0].suggests == {"project": "p-12345"}
        assert "s3cret" not in repr(found)


def test_subscriptions_of_azure(tmp_path: Path) -> None:
    listed = [subscription(1), subscription(2, isDefault=True), subscription(3, state="Disabled")]
    write(tmp_path, ".azure/azureProfile.json", {"subscriptions": listed}, "utf-8-sig")
    write(tmp_path, ".azure/config", "[defaults]\nlocation = westeurope\n")
    first, second = find(AZURE, tmp_path)
    assert first.name == "subscription Sub 2 of me@x.org"
    assert (first.settings["subscription"], first.suggests) == (ID.format(2), {"regions": ["westeurope"]})
    assert [first.preferred, second.preferred] == [True, False]
    chosen = find(AZURE, tmp_path, AZURE_SUBSCRIPTION_ID=ID.format(1))[0]
    assert chosen.settings["subscription"] == ID.format(1)


def test_a_service_principal_of_azure(tmp_path: Path) -> None:
    write(tmp_path, "sp.json", {"appId": "a", "password": "s3cret", "tenant": "t"})
    [login] = find(AZURE, tmp_path, {"service_principal": str(tmp_path / "sp.json"), "subscription": ID.format(1)})
    assert login.settings == {"service_principal": str(tmp_path / "sp.json"), "subscription": ID.format(1)}
    assert "s3cret" not in repr(login)

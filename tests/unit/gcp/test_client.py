from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.errors import translated
from tests.fakes.gcp import PROJECT, GoogleCloud
from tests.unit.gcp.conftest import write_key

WITHOUT_SDK = """
import sys
sys.modules["google.cloud.compute_v1"] = None
from pathlib import Path
from dstack_cloud.backends.registry import make_backends
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration
gcp = make_backends(Path(sys.argv[1]), "me", {"gcp": {"regions": ["us-central1"]}}, "")["gcp"]
assert "google" not in sys.modules, "the SDK was paid for"
assert gcp.list_owned() == []
try:
    gcp.offers(Requirements())
except InvalidConfiguration as wrong:
    print(wrong.hint)
"""


def test_a_project_without_google_pays_for_no_sdk_and_one_that_lacks_it_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "pip install 'dstack-cloud[gcp]'", done.stderr


@pytest.mark.google
def test_application_default_credentials_are_found_where_gcloud_keeps_them(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    folder = tmp_path / ".config/gcloud"
    folder.mkdir(parents=True)
    Path(write_key(folder, google.key_file())).rename(folder / "application_default_credentials.json")
    client = GcpClient(config.model_copy(update={"credentials": ""}))
    assert client.project == PROJECT and client.caller.startswith("owner@")


@pytest.mark.google
def test_a_token_is_good_for_some_minutes_and_the_same_until_then(config: GcpConfig) -> None:
    client = GcpClient(config)
    found = client.token()
    left = found["expires_at"] - datetime.now(timezone.utc)
    assert timedelta(minutes=5) < left <= timedelta(hours=1)
    assert client.token() == found


@pytest.mark.google
def test_who_logs_in_again_is_followed(config: GcpConfig, google: GoogleCloud) -> None:
    key = Path(config.credentials)
    write_key(key.parent, {**google.key_file(), "client_email": "gone@p.iam.gserviceaccount.com"})
    client = GcpClient(config)
    asked = {"project": client.project}
    with pytest.raises(errors.NotAuthorized), translated("projects"):
        client.projects().get(request=asked, **client.reading)
    write_key(key.parent, google.key_file())
    assert client.projects().get(request=asked, **client.reading).name == PROJECT
    assert client.token()["token"]


@pytest.mark.google
def test_a_token_that_was_taken_back_is_replaced(config: GcpConfig, google: GoogleCloud) -> None:
    client = GcpClient(config)
    asked = {"project": client.project}
    client.projects().get(request=asked, **client.reading)
    google.expire_tokens()
    assert client.projects().get(request=asked, **client.reading).name == PROJECT


@pytest.mark.google
def test_a_question_is_asked_again_where_google_failed(config: GcpConfig, google: GoogleCloud) -> None:
    client = GcpClient(config)
    google.fail("projects.get", "backendError", times=2)
    assert client.projects().get(request={"project": client.project}, **client.reading).name == PROJECT
    assert google.calls("projects.get") == 3


@pytest.mark.google
def test_what_only_reads_is_asked_again_of_the_other_services_too(config: GcpConfig, google: GoogleCloud) -> None:
    client = GcpClient(config)
    google.fail("services.list", "unavailable", service="cloudbilling", times=2)
    assert client.rest("billing", "GET", "/v1/services")["services"]
    google.fail("projects.getIamPolicy", "unavailable", service="cloudresourcemanager", times=1)
    with pytest.raises(errors.Unavailable):
        client.rest("projects", "POST", f"/v3/projects/{PROJECT}:getIamPolicy", {})


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(errors.NotAuthorized, match="no credentials for Google Cloud") as caught:
        GcpClient(GcpConfig()).token()
    assert caught.value.hint and "gcloud auth application-default login" in caught.value.hint


def test_a_file_that_is_not_there_or_no_credentials(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="there is no file"):
        GcpClient(GcpConfig(credentials=str(tmp_path / "nope.json"))).token()
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(errors.NotAuthorized, match="no credentials"):
        GcpClient(GcpConfig(credentials=str(tmp_path / "odd.json"))).token()


@pytest.mark.parametrize(("named", "counted"), [("", "some-project"), ("another", "another")])
def test_the_calls_of_a_person_count_on_the_project(tmp_path: Path, named: str, counted: str) -> None:
    own = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
    path = write_key(tmp_path, {**own, "quota_project_id": named} if named else own)
    login = GcpClient(GcpConfig(credentials=path, project="some-project")).login()
    assert getattr(login.credentials, "quota_project_id", "") == counted


def test_the_project_is_that_of_the_settings_or_of_the_key(key_without_cloud: Callable[[str], str]) -> None:
    key = key_without_cloud("http://127.0.0.1:1/token")
    assert GcpClient(GcpConfig(credentials=key)).project == "some-project"
    assert GcpClient(GcpConfig(credentials=key, project="another")).project == "another"

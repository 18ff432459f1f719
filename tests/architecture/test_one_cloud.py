"""A project that uses one cloud never pays for another's SDK: a server of its own for each, which asks a cloud that refuses everything."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.server.site import UnixConnection, wait_until

# packages that come with each cloud's SDK, and with no other
SDKS = {"aws": {"boto3", "botocore"}, "gcp": {"google", "grpc"}, "azure": {"azure", "msal"}}
OFFERS: dict[str, Any] = {"overrides": {}, "cpu": None, "memory": "", "disk": "", "regions": []}
KEY = {
    "type": "service_account",
    "project_id": "some-project",
    "client_email": "me@some-project.iam.gserviceaccount.com",
}
PRINCIPAL = {
    "appId": "00000000-0000-0000-0000-000000000001",
    "password": "p",
    "tenant": "00000000-0000-0000-0000-000000000002",
}


class Refusing(http.server.BaseHTTPRequestHandler):
    """Every service of a cloud, and its login."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def cloud() -> Iterator[tuple[str, list[str]]]:
    """(its URL, what it was asked for)"""
    asked: list[str] = []
    handler = type("RefusingAll", (Refusing,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def on_aws(home: Path, url: str) -> dict[str, Any]:
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    return {"endpoint": url, "regions": ["eu-west-1"]}


def on_gcp(home: Path, url: str) -> dict[str, Any]:
    (home / "key.json").write_text(json.dumps({**KEY, "private_key": private_key(), "token_uri": f"{url}/token"}))
    return {"endpoint": url, "regions": ["us-central1"], "credentials": str(home / "key.json")}


def on_azure(home: Path, url: str) -> dict[str, Any]:
    (home / "principal.json").write_text(json.dumps(PRINCIPAL))
    settings = {"service_principal": str(home / "principal.json"), "subscription": PRINCIPAL["appId"]}
    return {"endpoint": url, "regions": ["eastus"], **settings}


SETTINGS: dict[str, Callable[[Path, str], dict[str, Any]]] = {"aws": on_aws, "gcp": on_gcp, "azure": on_azure}


def private_key() -> str:
    """A new one: a key in a file of this repository would be taken for a leak."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def offers(home: Path) -> dict[str, Any]:
    """What the server answers, once it is there."""
    wait_until((home / "server.sock").exists, "the server")
    connection = UnixConnection(home / "server.sock")
    body = json.dumps(OFFERS)
    connection.request("POST", "/api/projects/main/offers", body, {"content-type": "application/json"})
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def packages(imports: str) -> set[str]:
    """The packages that `-X importtime` tells of: "import time: 12 | 34 |   botocore.session"."""
    lines = [line for line in imports.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("name", SDKS)
def test_a_server_imports_the_sdk_of_its_projects_cloud_only(name: str, cloud: tuple[str, list[str]]) -> None:
    url, asked = cloud
    with tempfile.TemporaryDirectory(prefix="one-cloud-") as folder:
        home = Path(folder)
        project = {"backends": [name], "settings": {name: SETTINGS[name](home, url)}}
        (home / "config.yaml").write_text(json.dumps({"projects": {"main": project}}))
        environment = {**os.environ, "HOME": folder, "DSTACK_HOME": folder}
        command = [sys.executable, "-X", "importtime", "-m", "dstack_cloud.server"]
        with (home / "imports.log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as server:
            try:
                found = offers(home)
            finally:
                server.terminate()
        imported = packages((home / "imports.log").read_text())
    assert asked and [refusal["backend"] for refusal in found["refusals"]] == [name]
    assert imported & SDKS[name]
    assert not imported & set().union(*(sdk for other, sdk in SDKS.items() if other != name))

"""The emulated Google Cloud, and a service account's key that stands for a login."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from tests.fakes.gcp import REGION, GoogleCloud
from tests.fakes.gcp.fixtures import any_google, google

__all__ = ["any_google", "google"]  # fixtures

TYPES = ("e2-*", "n1-standard-4", "g2-standard-4", "a2-highgpu-1g", "a3-highgpu-1g")
STORE = "gs://bucket/team"


def write_key(folder: Path, content: dict[str, str]) -> str:
    """A file as it is downloaded from the console; its path."""
    path = folder / "key.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def config(google: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GcpConfig:
    # there is no metadata service here to be asked for credentials
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    key = write_key(tmp_path, google.key_file())
    return GcpConfig(endpoint=google.endpoint, credentials=key, regions=(REGION,), instance_types=TYPES)


@pytest.fixture
def installation() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def backend(config: GcpConfig, installation: str, tmp_path: Path) -> GcpBackend:
    return GcpBackend(config, tmp_path, installation, "python:{python}")


@pytest.fixture
def key_without_cloud(tmp_path: Path) -> Callable[[str], str]:
    """The path of a key whose tokens come from this URL."""
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {"type": "service_account", "project_id": "some-project", "private_key": private.decode()}
    more = {"client_email": "me@some-project.iam.gserviceaccount.com"}
    return lambda url: write_key(tmp_path, {**content, **more, "token_uri": url})

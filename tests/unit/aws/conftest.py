"""The emulated cloud, and a folder of credentials that stands for ~/.aws."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig, Images
from tests.fakes.aws import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"  # moto has Amazon's, not Canonical's
TYPES = ("t3.small", "t3.medium", "m5.large", "g4dn.xlarge", "g4dn.12xlarge")


def write_keys(folder: Path, **keys: tuple[str, str]) -> None:
    """~/.aws/credentials with these profiles."""
    lines = [
        f"[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n" for name, (id, secret) in keys.items()
    ]
    (folder / "credentials").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def running_cloud() -> Iterator[MotoCloud]:
    with MotoCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: MotoCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MotoCloud:
    """As on the first day, and its keys in the default profile."""
    running_cloud.reset()
    folder = tmp_path / "aws-login"
    folder.mkdir()
    write_keys(folder, default=(ACCESS_KEY, SECRET_KEY))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return running_cloud


@pytest.fixture
def config(cloud: MotoCloud) -> AwsConfig:
    """Few types: all of EC2's take moto seconds to list."""
    return AwsConfig(
        endpoint=cloud.endpoint, regions=(REGION,), images=Images(cpu=IMAGE, gpu=IMAGE), instance_types=TYPES
    )


@pytest.fixture
def installation() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def backend(config: AwsConfig, installation: str, tmp_path: Path) -> AwsBackend:
    return AwsBackend(config, tmp_path, installation, "python:{python}")

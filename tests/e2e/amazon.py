"""A user whose project runs on the emulated AWS: configuration and credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e import cloud as any_cloud
from tests.e2e.conftest import User
from tests.fakes import seaweed
from tests.fakes.aws import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

TYPE = "m5.large"


def log_in(user: User, key: str = ACCESS_KEY, secret: str = SECRET_KEY) -> None:
    """Their ~/.aws, in a home folder of their own."""
    home = user.home.parent / "person"
    write_credentials(home / ".aws", key, secret)
    user.env["HOME"] = str(home)


def write_credentials(folder: Path, key: str = ACCESS_KEY, secret: str = SECRET_KEY) -> Path:
    """A file as `aws configure` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    return path


def configure(user: User, cloud: MotoCloud, bucket: str, **aws: Any) -> None:
    """`aws` are settings of the backend."""
    settings = {"endpoint": cloud.endpoint, "regions": [REGION], "instance_types": [TYPE], **aws}
    options = {"endpoint": cloud.store, "region": seaweed.REGION, "allow_http": "true"}
    any_cloud.configure(user, "aws", f"s3://{bucket}", settings, **options)


def await_nothing_held(user: User, cloud: MotoCloud) -> None:
    log_in(user)
    any_cloud.await_nothing_held(user, cloud)

"""A user whose project runs on the emulated Google Cloud: configuration and credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dstack_cloud.backends.gcp.config import GcpConfig
from tests.e2e import cloud as any_cloud
from tests.e2e.conftest import User
from tests.fakes.gcp import REGION, GoogleCloud
from tests.fakes.gcp.least import least_key

TYPE = "e2-standard-2"


def log_in(user: User, cloud: GoogleCloud, bucket: str) -> None:
    """A key as the application-default credentials of their home folder. It may do what `dstack config permissions gcp` prints for
    a store in this bucket, and nothing else."""
    write_login(user, least_key(cloud, GcpConfig(), f"gs://{bucket}"))


def write_login(user: User, key: Mapping[str, str]) -> None:
    home = user.home.parent / "person"
    folder = home / ".config/gcloud"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(key))
    user.env["HOME"] = str(home)


def configure(user: User, cloud: GoogleCloud, bucket: str, **gcp: Any) -> None:
    """`gcp` are settings of the backend."""
    settings = {"endpoint": cloud.endpoint, "regions": [REGION], "instance_types": [TYPE], **gcp}
    any_cloud.configure(user, "gcp", f"gs://{bucket}", settings, base_url=cloud.store)

"""A user whose project runs on the emulated Google Cloud: configuration, credentials, and what is left there of their runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dstack_cloud.backends.gcp.config import GcpConfig
from tests import leftovers
from tests.e2e import engine
from tests.e2e.conftest import User, until
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
    """Writes config.yaml; `gcp` are settings of the backend. JSON is YAML."""
    user.home.mkdir(exist_ok=True)
    settings = {"endpoint": cloud.endpoint, "regions": [REGION], "instance_types": [TYPE], **gcp}
    project = {
        "backends": ["gcp"],
        "store": f"gs://{bucket}",
        "store_options": {"base_url": cloud.store},
        "settings": {"gcp": settings},
    }
    # what every sandbox machine has in its engine already
    document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
    (user.home / "config.yaml").write_text(json.dumps(document, indent=1))


def bodies(cloud: GoogleCloud) -> list[str]:
    """The cloud's containers and volumes in Docker."""
    return [text for text in leftovers.in_docker() if cloud.label in text and not text.startswith("network")]


def await_nothing_held(user: User, cloud: GoogleCloud) -> None:
    """Ends what still runs. Afterwards the cloud holds nothing of any run, Docker neither, and no key is left."""
    cloud.forgive()
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: all(status in engine.GONE for status in engine.instances(user).values()))
    until(lambda: cloud.held() == [])
    until(lambda: bodies(cloud) == [])
    until(lambda: not (user.home / "keys").exists() or list((user.home / "keys").iterdir()) == [])

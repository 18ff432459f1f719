"""A user whose project runs on the emulated AWS: configuration, credentials, and what is left there of their runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import leftovers
from tests.e2e import engine
from tests.e2e.conftest import User, until
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
    """Writes config.yaml; `aws` are settings of the backend. JSON is YAML."""
    user.home.mkdir(exist_ok=True)
    settings = {"endpoint": cloud.endpoint, "regions": [REGION], "instance_types": [TYPE], **aws}
    project = {
        "backends": ["aws"],
        "store": f"s3://{bucket}",
        "store_options": {"endpoint": cloud.store, "region": seaweed.REGION, "allow_http": "true"},
        "settings": {"aws": settings},
    }
    # what every sandbox machine has in its engine already
    document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
    (user.home / "config.yaml").write_text(json.dumps(document, indent=1))


def bodies(cloud: MotoCloud) -> list[str]:
    """The cloud's containers and volumes in Docker."""
    return [text for text in leftovers.in_docker() if cloud.label in text and not text.startswith("network")]


def await_nothing_held(user: User, cloud: MotoCloud) -> None:
    """Ends what still runs. Afterwards the cloud holds nothing of any run, Docker neither, and no key is left."""
    cloud.forgive()
    log_in(user)
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: all(status in engine.GONE for status in engine.instances(user).values()))
    until(lambda: cloud.held() == [])
    until(lambda: bodies(cloud) == [])
    until(lambda: not (user.home / "keys").exists() or list((user.home / "keys").iterdir()) == [])


def attempts(user: User, name: str) -> list[str]:
    """The statuses of a run's machines, in their order."""
    return [each["status"] for job in user.run(name)["jobs"] for each in job["instances"]]

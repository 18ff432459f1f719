"""A user whose project runs on an emulated cloud, whichever it is: its configuration, and what is left there of their runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests import leftovers
from tests.e2e import engine
from tests.e2e.conftest import User, until
from tests.fakes.emulated import EmulatedCloud


def configure(user: User, backend: str, store: str, settings: Mapping[str, Any], **options: str) -> None:
    """Writes config.yaml; `settings` are the backend's, `options` the store's. JSON is YAML."""
    user.home.mkdir(exist_ok=True)
    project = {"backends": [backend], "store": store, "store_options": options, "settings": {backend: settings}}
    # what every sandbox machine has in its engine already
    document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
    (user.home / "config.yaml").write_text(json.dumps(document, indent=1))


def bodies(cloud: EmulatedCloud) -> list[str]:
    """The cloud's containers and volumes in Docker."""
    return [text for text in leftovers.in_docker() if cloud.label in text and not text.startswith("network")]


def await_nothing_held(user: User, cloud: EmulatedCloud) -> None:
    """Ends what still runs, of a user who is logged in. Afterwards the cloud holds nothing of any run, Docker neither, and no key is
    left."""
    cloud.forgive()
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: all(status in engine.GONE for status in engine.instances(user).values()))
    until(lambda: cloud.held() == [])
    until(lambda: bodies(cloud) == [])
    until(lambda: not (user.home / "keys").exists() or list((user.home / "keys").iterdir()) == [])


def attempts(user: User, name: str) -> list[str]:
    """The statuses of a run's machines, in their order."""
    return [each["status"] for job in user.run(name)["jobs"] for each in job["instances"]]

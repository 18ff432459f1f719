"""`python -m tests.fakes.azure`: an Azure to try `dstack run --backend azure` on, without an account; ends with Ctrl+C.

It needs what tests marked `sandbox` and `azurite` need: a Docker engine, root for building the machines' image, and Azurite.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import by_hand
from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.cloud import LOCATION, AzureCloud

CONTAINER = "rehearsal"
WHAT = (
    "Azure is emulated at {endpoint}, its machines are sandbox machines, Blob storage is at {endpoint}/" + ACCOUNT + "."
)


def configuration(cloud: AzureCloud, home: Path) -> str:
    """What its config.yaml says of projects."""
    return f"""\
projects:
  main:
    backends: [azure]
    store: az://{CONTAINER}
    settings:
      azure:
        endpoint: {cloud.endpoint}
        subscription: {cloud.subscription}
        service_principal: {home}/principal.json
        storage_account: {ACCOUNT}
        regions: [{LOCATION}, westeurope]
        instance_types: [Standard_D2s_v5, Standard_F2s_v2]
"""


def prepare(home: Path, cloud: AzureCloud) -> str:
    """Writes what a user has at home; gives what config.yaml says of projects."""
    cloud.make_container(CONTAINER)
    principal = {"appId": cloud.client, "password": cloud.secret, "tenant": cloud.tenant}
    (home / "principal.json").write_text(json.dumps(principal))
    return configuration(cloud, home)


if __name__ == "__main__":
    by_hand.offer("azure", AzureCloud, prepare, WHAT)

"""`python -m tests.fakes.azure`: an Azure to try `dstack run --backend azure` on, without an account; ends with Ctrl+C.

It needs what tests marked `sandbox` and `azurite` need: a Docker engine, root for building the machines' image, and Azurite.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.cloud import LOCATION, AzureCloud

CONTAINER = "rehearsal"
TEXT = """
Azure is emulated at {endpoint}, its machines are sandbox machines, Blob storage is at {endpoint}/{account}.
In another terminal, in the folder of a workflow:

    export DSTACK_HOME={home}/dstack HOME={home}
    dstack run NAME --backend azure

What `dstack` is configured with ({home}/dstack/config.yaml):

{config}
Ctrl+C here ends it, and everything that was made. Before that: `dstack stop --all -y && dstack server stop`."""


def configuration(cloud: AzureCloud, home: Path) -> str:
    """A config.yaml for it."""
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
default_image: "dstack-cloud/job:py{{python}}"
{_ca_bundle()}"""


def _ca_bundle() -> str:
    """Its machines are on this computer's network: behind a company's proxy, they must trust it too."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return f"ca_bundle: {json.dumps(path)}\n" if path else ""


def prepare(home: Path, cloud: AzureCloud) -> str:
    """Writes what a user has at home; gives config.yaml's text."""
    cloud.make_container(CONTAINER)
    (home / "dstack").mkdir()
    principal = {"appId": cloud.client, "password": cloud.secret, "tenant": cloud.tenant}
    (home / "principal.json").write_text(json.dumps(principal))
    text = configuration(cloud, home)
    (home / "dstack/config.yaml").write_text(text)
    return text


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="emulated-azure-", ignore_cleanup_errors=True) as folder,
        AzureCloud(machines=True, store=True) as cloud,
    ):
        text = prepare(Path(folder), cloud)
        if "--json" in sys.argv:
            print(json.dumps({"endpoint": cloud.endpoint, "store": cloud.store, "home": folder}), flush=True)
        else:
            shown = {"endpoint": cloud.endpoint, "account": ACCOUNT, "home": shlex.quote(folder), "config": text}
            print(TEXT.format(**shown), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending it …", file=sys.stderr)


if __name__ == "__main__":
    main()

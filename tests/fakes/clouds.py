"""AWS, Google Cloud and Azure at once, on this computer, and what a project says to use all three.

`python -m tests.fakes.clouds`: to try `dstack run` on them, without an account; ends with Ctrl+C. It needs what tests marked `sandbox`
need: a Docker engine, and root for building the machines' image.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes import by_hand
from tests.fakes.aws import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud
from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.fakes.emulated import EmulatedCloud
from tests.fakes.gcp.cloud import GoogleCloud

NAMES = ("aws", "gcp", "azure")
GOOGLE_REGION = "us-central1"
# the operation that makes a machine, and how it is refused where there is no capacity
FULL = {
    "aws": ("RunInstances", "InsufficientInstanceCapacity"),
    "gcp": ("instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED"),
    "azure": ("virtual_machines.create_or_update", "SkuNotAvailable"),
}
# in a cloud's own words
RUNNING = {"aws": "running", "gcp": "RUNNING", "azure": "running"}
# of each cloud some that a small job may run on
TYPES = {"aws": ["c5.large", "m5.large"], "gcp": ["e2-medium", "n2-standard-2"], "azure": ["Standard_D2s_v5"]}
TEXT = """
Three clouds are emulated; their instances are sandbox machines: {endpoints}.
In another terminal, in the folder of a workflow:

    export DSTACK_HOME={home}/dstack HOME={home}
    dstack offers --spot
    dstack run NAME --spot

To have a spot machine taken back (its id is the last part of what `dstack instances` shows):

    curl -d '{{"id": "ID", "seconds": 20}}' ENDPOINT/_control/interrupt

Ctrl+C here ends it, and everything that was made. Before that: `dstack stop --all -y && dstack server stop`."""
# port 22 is opened for nobody: machines without bodies aren't logged in to, and this computer's public address needn't be asked for
NOWHERE = ["192.0.2.1/32"]


class Clouds:
    """A context. By name in `each`."""

    def __init__(self, *, machines: bool = False, store: bool = False) -> None:
        """`machines`: instances boot sandbox machines. `store`: Google has Cloud Storage and Azure has Blob storage, too."""
        with ThreadPoolExecutor(3) as pool:
            aws = pool.submit(MotoCloud, machines=machines)
            gcp = pool.submit(GoogleCloud, machines=machines, store=store)
            azure = pool.submit(AzureCloud, machines=machines, store=store)
        self.aws, self.gcp, self.azure = aws.result(), gcp.result(), azure.result()
        self.each: dict[str, EmulatedCloud] = {"aws": self.aws, "gcp": self.gcp, "azure": self.azure}

    def __enter__(self) -> Clouds:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            for cloud in self.each.values():
                stack.callback(cloud.close)

    def settings(self, person: Path) -> dict[str, dict[str, Any]]:
        """Settings of the three backends for config.yaml. Their logins are written below `person`, who needs it as HOME."""
        (person / ".aws").mkdir(parents=True, exist_ok=True)
        keys = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        (person / ".aws" / "credentials").write_text(keys)
        google, principal = person / "google.json", person / "azure.json"
        google.write_text(json.dumps(self.gcp.key_file()))
        azure = {"appId": self.azure.client, "password": self.azure.secret, "tenant": self.azure.tenant}
        principal.write_text(json.dumps(azure))
        return {
            "aws": {"endpoint": self.aws.endpoint, "regions": [REGION], "ssh_from": NOWHERE},
            "gcp": {
                "endpoint": self.gcp.endpoint,
                "regions": [GOOGLE_REGION],
                "credentials": str(google),
                "ssh_from": NOWHERE,
            },
            "azure": {
                "endpoint": self.azure.endpoint,
                "regions": [LOCATION],
                "service_principal": str(principal),
                "subscription": self.azure.subscription,
                "storage_account": ACCOUNT,
                "ssh_from": NOWHERE,
            },
        }

    def project(self, person: Path, **more: Any) -> dict[str, Any]:
        """A project on all three for config.yaml, with a few types only; its home store is at AWS."""
        settings = self.settings(person)
        for name, types in TYPES.items():
            settings[name]["instance_types"] = types
        return {"backends": list(NAMES), "settings": settings, **more}

    def slow_down(self, seconds: float) -> None:
        """Each call waits so long first, as on the way to a real cloud."""
        self.aws.fail("*", service="*", delay=seconds)
        self.gcp.fail("*", service="*", delay=seconds)
        self.azure.fail("*", delay=seconds)

    def running(self, name: str) -> list[dict[str, Any]]:
        """The machines of a cloud that run."""
        return self.each[name].instances(RUNNING[name])

    def bucket(self) -> str:
        """The name of a new one at AWS itself, where credentials that were lent are worth something."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.aws.client("s3").create_bucket(Bucket=name)
        return name

    def held(self) -> list[str]:
        """What costs money or was made for one run and is still there, on any of them."""
        return [f"{name}: {text}" for name, cloud in self.each.items() for text in cloud.held()]

    def forgive(self) -> None:
        """No fault any more."""
        for cloud in self.each.values():
            cloud.forgive()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="emulated-clouds-", ignore_cleanup_errors=True) as folder,
        Clouds(machines=True) as clouds,
    ):
        home = Path(folder)
        project = clouds.project(home, store=f"s3://{clouds.bucket()}")
        document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
        (home / "dstack").mkdir()
        (home / "dstack" / "config.yaml").write_text(json.dumps({**document, **by_hand.ca_bundle()}, indent=1))
        endpoints = ", ".join(f"{name} at {cloud.endpoint}" for name, cloud in clouds.each.items())
        print(TEXT.format(endpoints=endpoints, home=shlex.quote(folder)), flush=True)
        by_hand.until_ctrl_c()


if __name__ == "__main__":
    main()

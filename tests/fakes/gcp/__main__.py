"""`python -m tests.fakes.gcp`: a Google Cloud to try `dstack run --backend gcp` on, without an account; ends with Ctrl+C.

It needs what tests marked `sandbox` need: a Docker engine, and root for building the machines' image.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.fakes.gcp.cloud import GoogleCloud
from tests.fakes.gcp.places import REGION

BUCKET = "rehearsal"
# where Google's libraries look: https://cloud.google.com/docs/authentication/application-default-credentials
KEY = ".config/gcloud/application_default_credentials.json"
TEXT = """
Google Cloud is emulated at {endpoint}, its instances are sandbox machines, Cloud Storage is at {store}.
In another terminal, in the folder of a workflow:

    export DSTACK_HOME={home}/dstack HOME={home}
    dstack run NAME --backend gcp

What `dstack` is configured with ({home}/dstack/config.yaml):

{config}
Ctrl+C here ends it, and everything that was made. Before that: `dstack stop --all -y && dstack server stop`."""


def configuration(cloud: GoogleCloud) -> str:
    """A config.yaml for it."""
    return f"""\
projects:
  main:
    backends: [gcp]
    store: gs://{BUCKET}
    store_options:                  # Cloud Storage: another endpoint than Google's other services
      base_url: {cloud.store}
      allow_http: "true"
    settings:
      gcp:
        endpoint: {cloud.endpoint}
        regions: [{REGION}, europe-west4]
        instance_types: [e2-standard-2, n1-standard-4]
default_image: "dstack-cloud/job:py{{python}}"
{_ca_bundle()}"""


def _ca_bundle() -> str:
    """Its machines are on this computer's network: behind a company's proxy, they must trust it too."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return f"ca_bundle: {json.dumps(path)}\n" if path else ""


def prepare(home: Path, cloud: GoogleCloud) -> str:
    """Writes what a user has at home; gives config.yaml's text."""
    cloud.make_bucket(BUCKET)
    (home / "dstack").mkdir()
    text = configuration(cloud)
    (home / "dstack/config.yaml").write_text(text)
    key = home / KEY
    key.parent.mkdir(parents=True)
    key.touch(0o600)
    key.write_text(json.dumps(cloud.key_file()))
    return text


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="emulated-gcp-", ignore_cleanup_errors=True) as folder,
        GoogleCloud(machines=True, store=True) as cloud,
    ):
        text = prepare(Path(folder), cloud)
        urls = {"endpoint": cloud.endpoint, "store": cloud.store}
        if "--json" in sys.argv:
            print(json.dumps({**urls, "home": folder}), flush=True)
        else:
            print(TEXT.format(**urls, home=shlex.quote(folder), config=text), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending it …", file=sys.stderr)


if __name__ == "__main__":
    main()

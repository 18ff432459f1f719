"""`python -m tests.fakes.aws`: an AWS to try `dstack run --backend aws` on, without an account; ends with Ctrl+C.

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

from tests.fakes import seaweed
from tests.fakes.aws.cloud import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

BUCKET = "rehearsal"
TEXT = """
AWS is emulated at {endpoint}, its instances are sandbox machines, S3 is at {store}.
In another terminal, in the folder of a workflow:

    export DSTACK_HOME={home}/dstack HOME={home}
    dstack run NAME --backend aws

What `dstack` is configured with ({home}/dstack/config.yaml):

{config}
Ctrl+C here ends it, and everything that was made. Before that: `dstack stop --all -y && dstack server stop`."""


def configuration(cloud: MotoCloud) -> str:
    """A config.yaml for it."""
    return f"""\
projects:
  main:
    backends: [aws]
    store: s3://{BUCKET}
    store_options:                  # the S3 server: another one than AWS's other services
      endpoint: {cloud.store}
      region: {seaweed.REGION}
      allow_http: "true"
    settings:
      aws:
        endpoint: {cloud.endpoint}
        regions: [{REGION}, eu-west-3]
        instance_types: [m5.large, c5.large]
default_image: "dstack-cloud/job:py{{python}}"
{_ca_bundle()}"""


def _ca_bundle() -> str:
    """Its machines are on this computer's network: behind a company's proxy, they must trust it too."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return f"ca_bundle: {json.dumps(path)}\n" if path else ""


def prepare(home: Path, cloud: MotoCloud) -> str:
    """Writes what a user has at home; gives config.yaml's text."""
    cloud.make_bucket(BUCKET)
    (home / "dstack").mkdir()
    (home / ".aws").mkdir()
    text = configuration(cloud)
    (home / "dstack/config.yaml").write_text(text)
    keys = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (home / ".aws/credentials").write_text(keys)
    return text


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="emulated-aws-", ignore_cleanup_errors=True) as folder,
        MotoCloud(machines=True, store=True) as cloud,
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

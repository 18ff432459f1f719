"""`python -m tests.fakes.gcp`: a Google Cloud to try `dstack run --backend gcp` on, without an account; ends with Ctrl+C.

It needs what tests marked `sandbox` need: a Docker engine, and root for building the machines' image.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import by_hand
from tests.fakes.gcp.cloud import GoogleCloud
from tests.fakes.gcp.places import REGION

BUCKET = "rehearsal"
# where Google's libraries look: https://cloud.google.com/docs/authentication/application-default-credentials
KEY = ".config/gcloud/application_default_credentials.json"
WHAT = "Google Cloud is emulated at {endpoint}, its instances are sandbox machines, Cloud Storage is at {store}."


def configuration(cloud: GoogleCloud) -> str:
    """What its config.yaml says of projects."""
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
"""


def prepare(home: Path, cloud: GoogleCloud) -> str:
    """Writes what a user has at home; gives what config.yaml says of projects."""
    cloud.make_bucket(BUCKET)
    key = home / KEY
    key.parent.mkdir(parents=True)
    key.touch(0o600)
    key.write_text(json.dumps(cloud.key_file()))
    return configuration(cloud)


if __name__ == "__main__":
    by_hand.offer("gcp", GoogleCloud, prepare, WHAT)

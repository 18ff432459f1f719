"""`python -m tests.fakes.aws`: an AWS to try `dstack run --backend aws` on, without an account; ends with Ctrl+C.

It needs what tests marked `sandbox` need: a Docker engine, and root for building the machines' image.
"""

from __future__ import annotations

from pathlib import Path

from tests.fakes import by_hand, seaweed
from tests.fakes.aws.cloud import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

BUCKET = "rehearsal"
WHAT = "AWS is emulated at {endpoint}, its instances are sandbox machines, S3 is at {store}."


def configuration(cloud: MotoCloud) -> str:
    """What its config.yaml says of projects."""
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
"""


def prepare(home: Path, cloud: MotoCloud) -> str:
    """Writes what a user has at home; gives what config.yaml says of projects."""
    cloud.make_bucket(BUCKET)
    (home / ".aws").mkdir()
    keys = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (home / ".aws/credentials").write_text(keys)
    return configuration(cloud)


if __name__ == "__main__":
    by_hand.offer("aws", MotoCloud, prepare, WHAT)

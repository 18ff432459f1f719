#!/bin/sh
# An AWS on this computer to try `dstack run --backend aws` on, without an account and for nothing: moto for EC2, IAM and SSM,
# sandbox machines for its instances, SeaweedFS for S3. It needs a checkout of the repository with `pip install -e '.[dev]'`,
# a Docker engine, and root (for building the machines' image, once). It says what to type next; Ctrl+C ends it.
cd "$(dirname "$0")/.." && exec "${PYTHON:-python3}" -m tests.fakes.aws "$@"

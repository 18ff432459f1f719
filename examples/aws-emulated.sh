#!/bin/sh
# An AWS on this computer to try `dstack run --backend aws` on, without an account and for nothing: moto for EC2, IAM and SSM,
# sandbox machines for its instances, SeaweedFS for S3. It needs a checkout of the repository after `make emulators` (or another
# Python, named in PYTHON, with `pip install -e '.[dev,emulators]'`), a Docker engine, and root (for building the machines' image, once).
# It says what to type next; Ctrl+C ends it.
cd "$(dirname "$0")/.." || exit
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "${PYTHON:-$python}" -m tests.fakes.aws "$@"

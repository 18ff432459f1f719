#!/bin/sh
# A Google Cloud on this computer to try `dstack run --backend gcp` on, without an account and for nothing: Compute Engine and the
# services around it as Google describes them, sandbox machines for its instances, SeaweedFS behind Cloud Storage's own API. It needs
# a checkout of the repository after `make emulators` (or another Python, named in PYTHON, with `pip install -e '.[dev,emulators]'`), a Docker
# engine, and root (for building the machines' image, once). It says what to type next; Ctrl+C ends it.
cd "$(dirname "$0")/.." || exit
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "${PYTHON:-$python}" -m tests.fakes.gcp "$@"

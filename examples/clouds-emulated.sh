#!/bin/sh
# AWS, Google Cloud and Azure on this computer at once, to try a project on that uses all three: the cheapest offer of all, and a spot
# job that goes on on another cloud. It needs a checkout of the repository after `make emulators` (or another Python, named in PYTHON,
# with `pip install -e '.[dev,emulators]'`), a Docker engine, and root (for building the machines' image, once). It says what to type
# next; Ctrl+C ends it.
cd "$(dirname "$0")/.." || exit
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "${PYTHON:-$python}" -m tests.fakes.clouds "$@"

#!/bin/sh
# An Azure on this computer to try `dstack run --backend azure` on, without an account and for nothing: Resource Manager as the models of
# Microsoft's SDKs describe it, sandbox machines for its machines, Azurite for Blob storage. It needs a checkout of the repository after
# `make emulators` (or another Python, named in PYTHON, with `pip install -e '.[dev,emulators]'`, and `.ci/install-azurite`), a Docker
# engine, and root (for building the machines' image, once). It says what to type next; Ctrl+C ends it.
cd "$(dirname "$0")/.." || exit
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "${PYTHON:-$python}" -m tests.fakes.azure "$@"

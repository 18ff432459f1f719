"""Lines of bash that several providers are made of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# where a program has to listen so that its port is reached: the runner sets the variable where 127.0.0.1 isn't enough
LISTEN = '"${DSTACK_LISTEN:-127.0.0.1}"'
PYTHON = '"$python"'

_FIND_PYTHON = (
    "python=$(command -v python || command -v python3)"
    " || { echo 'error: there is no Python here: use an image that has it' >&2; exit 127; }"
)
_PIP = f"PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore {PYTHON} -m pip install --quiet --no-input"
# as the programs themselves do: a port whose last connections still linger is free
_IS_FREE = """import socket, sys
try: socket.create_server(("127.0.0.1", int(sys.argv[1])))
except OSError: sys.exit(1)"""
_TAKEN = "error: port {port} is taken where the job runs: free it, or choose another one in `ports`"
_NAME = re.compile(r"[^\w.-]")
_IS_THERE = "import sys, importlib.util as u; sys.exit(any(u.find_spec(name) is None for name in sys.argv[1:]))"


def python_first(port: int | None = None) -> tuple[str, ...]:
    """Finds Python, and ends the job where `port` is taken."""
    if port is None:
        return (_FIND_PYTHON,)
    taken = _TAKEN.format(port=port)
    return _FIND_PYTHON, f"{PYTHON} -c '{_IS_FREE}' {port} || {{ echo '{taken}' >&2; exit 1; }}"


def installed(requirements: str | None = None, packages: Sequence[str] = ()) -> tuple[str, ...]:
    """A setup that installs the requirements file and those of `packages` that aren't there; () where that is nothing. A package is
    named as pip knows it, maybe with extras and a version; what is imported has the same name with `_`."""
    lines = []
    if requirements:
        lines.append(f"{_PIP} -r {shlex.quote(requirements)}")
    if packages:
        names = [_NAME.split(package, maxsplit=1)[0] for package in packages]
        modules = shlex.join(name.replace("-", "_") for name in names)
        told = f"echo {shlex.quote('installing ' + ', '.join(names))} >&2"
        lines.append(f"{PYTHON} -c '{_IS_THERE}' {modules} || {{ {told}; {_PIP} {shlex.join(packages)}; }}")
    return (_FIND_PYTHON, *lines) if lines else ()


def line(*words: str, rest: Sequence[str] = ()) -> str:
    """One command: `words` are bash as they are, each of `rest` is quoted."""
    return " ".join((*words, *map(shlex.quote, rest)))

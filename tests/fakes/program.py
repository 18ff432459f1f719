"""What the programs of all emulated clouds do: each lives as long as its standard input is open."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.bodies import Cloud
    from tests.fakes.hypervisor import Hypervisor

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def hypervisor(world: Cloud, label: str) -> Iterator[Hypervisor]:
    """It gives the cloud's machines bodies that carry the label."""
    from tests.fakes.hypervisor import Hypervisor

    with tempfile.TemporaryDirectory(prefix="emulated-") as home, Hypervisor(world, Path(home), label) as found:
        yield found


@contextlib.contextmanager
def served(app: Any, host: str, name: str, handler: type[Any]) -> Iterator[str]:
    """The URL of a WSGI application, on a free port."""
    from werkzeug.serving import make_server

    server = make_server(host, 0, app, threaded=True, request_handler=handler)
    threading.Thread(target=server.serve_forever, name=name, daemon=True).start()
    try:
        yield f"http://{host}:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


def run(emulated: Callable[[str, bool], AbstractContextManager[Mapping[str, str]]]) -> None:
    """`emulated` starts the cloud, and is told a label for its machines' bodies ("": they get none) and whether it has a store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", default="", metavar="LABEL")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with emulated(options.machines, options.store) as urls:
        print(json.dumps(urls), flush=True)
        sys.stdin.read()

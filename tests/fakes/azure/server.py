"""The emulated cloud as a process of its own; it lives as long as its standard input is open, and takes everything with it.

    python -m tests.fakes.azure.server [--machines LABEL] [--store]

Its first line of output is a JSON document: `{"endpoint", "store"}`, URLs of Azure's services and of Azurite ("" for none).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.fakes.azure import blob, compute, groups, identities, network, operations
from tests.fakes.azure.arm import Arm
from tests.fakes.azure.calls import App
from tests.fakes.azure.control import Control
from tests.fakes.azure.entra import Entra
from tests.fakes.azure.fleet import Fleet
from tests.fakes.azure.prices import Retail
from tests.fakes.azure.world import World

LOOPBACK = "127.0.0.1"
SERVICES = (operations.SERVICE, groups.SERVICE, network.SERVICE, compute.SERVICE, identities.SERVICE)


@contextlib.contextmanager
def emulated(label: str, store: bool) -> Iterator[dict[str, str]]:
    """`label`: virtual machines get bodies that carry it; "": they get none."""
    world = World((blob.account(),) if store else ())
    with contextlib.ExitStack() as stack:
        host = LOOPBACK
        if label:
            from tests.fakes.hypervisor import Hypervisor

            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulated-")))
            hypervisor = stack.enter_context(Hypervisor(Fleet(world), home, label))
            host, world.machines = hypervisor.address, hypervisor
        url = ""
        if store:
            from tests.fakes.azure.azurite import Azurite

            url = stack.enter_context(Azurite(host)).url
        app: App = Arm(world, SERVICES)
        if url:
            app = blob.Blob(app, world, url)
        yield {"endpoint": stack.enter_context(_served(world, host, app)), "store": url}


@contextlib.contextmanager
def _served(world: World, host: str, app: App) -> Iterator[str]:
    whole = Control(Retail(Entra(app, world), world), world)
    server = make_server(host, 0, whole, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, name="emulated-azure", daemon=True).start()
    try:
        yield f"http://{host}:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object, **__: object) -> None:
        """Only what goes wrong is told."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", default="", metavar="LABEL")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with emulated(options.machines, options.store) as urls:
        print(json.dumps(urls), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

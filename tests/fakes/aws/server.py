"""The emulated cloud as a process of its own; it lives as long as its standard input is open, and takes everything with it.

    python -m tests.fakes.aws.server [--machines LABEL] [--store]

Its first line of output is a JSON document: `{"endpoint", "store"}`, URLs of AWS's services and of the S3 server ("" for none).
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

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.fakes.aws import moto_ec2
from tests.fakes.aws.control import Control
from tests.fakes.aws.front import Front
from tests.fakes.aws.world import World

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def emulated(label: str, store: bool) -> Iterator[dict[str, str]]:
    """`label`: instances get bodies that carry it; "": they get none."""
    world = World()
    moto_ec2.install(world)
    with contextlib.ExitStack() as stack:
        host = LOOPBACK
        if label:
            from tests.fakes.hypervisor import Hypervisor

            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulated-")))
            hypervisor = stack.enter_context(Hypervisor(world, home, label))
            host, world.machines = hypervisor.address, hypervisor
        url = ""
        if store:
            from tests.fakes.seaweed import Seaweed

            url = stack.enter_context(Seaweed(host)).url
        yield {"endpoint": stack.enter_context(_served(world, host)), "store": url}


@contextlib.contextmanager
def _served(world: World, host: str) -> Iterator[str]:
    app = Control(Front(DomainDispatcherApplication(create_backend_app), world), world)
    server = make_server(host, 0, app, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, name="emulated-aws", daemon=True).start()
    try:
        yield f"http://{host}:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(MotoRequestHandler):
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

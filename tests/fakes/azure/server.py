"""The emulated cloud as a process of its own; it lives as long as its standard input is open, and takes everything with it.

    python -m tests.fakes.azure.server [--machines LABEL] [--store]

Its first line of output is a JSON document: `{"endpoint", "store"}`, URLs of Azure's services and of Azurite ("" for none).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from werkzeug.serving import WSGIRequestHandler

from tests.fakes import program
from tests.fakes.azure import blob, compute, extensions, groups, identities, network, operations
from tests.fakes.azure.arm import Arm
from tests.fakes.azure.calls import App
from tests.fakes.azure.control import Control
from tests.fakes.azure.entra import Entra
from tests.fakes.azure.fleet import Fleet
from tests.fakes.azure.prices import Retail
from tests.fakes.azure.world import World

SERVICES = tuple(each.SERVICE for each in (operations, groups, network, compute, extensions, identities))


@contextlib.contextmanager
def emulated(label: str, store: bool) -> Iterator[dict[str, str]]:
    """`label`: virtual machines get bodies that carry it; "": they get none."""
    world = World((blob.account(),) if store else ())
    with contextlib.ExitStack() as stack:
        host = program.LOOPBACK
        if label:
            machines = stack.enter_context(program.hypervisor(Fleet(world), label))
            host, world.machines = machines.address, machines
        url = ""
        if store:
            from tests.fakes.azure.azurite import Azurite

            url = stack.enter_context(Azurite(host)).url
        app: App = Arm(world, SERVICES)
        if url:
            app = blob.Blob(app, world, url)
        whole = Control(Retail(Entra(app, world), world), world)
        yield {"endpoint": stack.enter_context(program.served(whole, host, "emulated-azure", _Quiet)), "store": url}


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object, **__: object) -> None:
        """Only what goes wrong is told."""


if __name__ == "__main__":
    program.run(emulated)

"""The emulated cloud as a process of its own; it lives as long as its standard input is open, and takes everything with it.

    python -m tests.fakes.aws.server [--machines LABEL] [--store]

Its first line of output is a JSON document: `{"endpoint", "store"}`, URLs of AWS's services and of the S3 server ("" for none).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

from tests.fakes import program
from tests.fakes.aws import moto_ec2
from tests.fakes.aws.control import Control
from tests.fakes.aws.front import Front
from tests.fakes.aws.world import World


@contextlib.contextmanager
def emulated(label: str, store: bool) -> Iterator[dict[str, str]]:
    """`label`: instances get bodies that carry it; "": they get none."""
    world = World()
    moto_ec2.install(world)
    with contextlib.ExitStack() as stack:
        host = program.LOOPBACK
        if label:
            machines = stack.enter_context(program.hypervisor(world, label))
            host, world.machines = machines.address, machines
        url = ""
        if store:
            from tests.fakes.seaweed import Seaweed

            url = stack.enter_context(Seaweed(host)).url
        app = Control(Front(DomainDispatcherApplication(create_backend_app), world), world)
        yield {"endpoint": stack.enter_context(program.served(app, host, "emulated-aws", _Quiet)), "store": url}


class _Quiet(MotoRequestHandler):
    def log_request(self, *_: object, **__: object) -> None:
        """Only what goes wrong is told."""


if __name__ == "__main__":
    program.run(emulated)

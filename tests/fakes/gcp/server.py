"""The emulated cloud as a process of its own; it lives as long as its standard input is open, and takes everything with it.

    python -m tests.fakes.gcp.server [--machines LABEL] [--store]

Its first line of output is a JSON document: `{"endpoint", "store"}`, URLs of Google's services and of Cloud Storage ("" for none).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from tests.fakes import program
from tests.fakes.gcp.control import Control
from tests.fakes.gcp.front import Front
from tests.fakes.gcp.wire import served
from tests.fakes.gcp.world import World

TICK_SECONDS = 0.1


@contextlib.contextmanager
def emulated(label: str, store: bool) -> Iterator[dict[str, str]]:
    """`label`: instances get bodies that carry it; "": they get none."""
    world = World()
    with contextlib.ExitStack() as stack:
        host = program.LOOPBACK
        if label:
            machines = stack.enter_context(program.hypervisor(world, label))
            host, world.machines = machines.address, machines
        url = ""
        if store:
            from tests.fakes.gcp.s3 import S3
            from tests.fakes.gcp.storage import Storage
            from tests.fakes.seaweed import Seaweed

            s3 = S3(stack.enter_context(Seaweed()).url)
            world.shelves = s3
            url = stack.enter_context(served(Storage(world, s3), host, "emulated-gcs"))
        stack.enter_context(_ticking(world))
        endpoint = stack.enter_context(served(Control(Front(world), world), host, "emulated-gcp"))
        yield {"endpoint": endpoint, "store": url}


@contextlib.contextmanager
def _ticking(world: World) -> Iterator[None]:
    """What is due happens, also while nobody asks."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(TICK_SECONDS):
            world.settle()

    thread = threading.Thread(target=tick, name="emulated-time", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    program.run(emulated)

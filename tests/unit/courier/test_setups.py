"""What a setup made goes into the store, and from there onto other machines; with a real runner and a real engine."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.local.client import remove_tree
from dstack_cloud.courier.carrier import Carrier
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.main import SocketRoad
from dstack_cloud.runner_bootstrap.payload import docker_setup
from dstack_cloud.runner_bootstrap.payload.container import PACKING_LABEL
from dstack_cloud.runner_bootstrap.payload.engine import Engine
from dstack_cloud.storage import layout
from tests.fakes.failing_store import FailingStore
from tests.unit.runner.rig import PATIENCE, Rig
from tests.unit.runner.tiny_image import tiny_image

pytestmark = pytest.mark.docker

# of this session alone: others may use the same engine
SESSION = str(os.getpid())
WORKFLOW = f"unit-test-of-the-couriers-setups-{SESSION}"


class Machine:
    """One that never had a job before."""

    def __init__(self, base: Path, store: FailingStore) -> None:
        forget_images()
        base.mkdir()
        self.rig = Rig(base).start()
        self.store = store

    def run(self, attempt: str, command: str = "cat /made", **fields: object) -> str:
        """The job's log."""
        attempt = f"{attempt}-{SESSION}"
        errand = Errand(attempt, f"run-of-{attempt}", "it", 1, WORKFLOW)
        given = {"setup": ["echo building", "echo made > /made"], "workflow": WORKFLOW, "setup_salt": SESSION, **fields}
        self.rig.submit(command, mode="docker", image=tiny_image(Engine()), attempt=attempt, **given)
        carrier = Carrier(self.store, SocketRoad(self.rig.socket), errand)
        thread = threading.Thread(target=carrier.run, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive() and carrier.failures == 0
        chunks = self.store.list(errand.place.logs)
        return b"".join(self.store.get(chunk.key) for chunk in chunks).decode()


def forget_images() -> None:
    for image in Engine().images({docker_setup.WORKFLOW_LABEL: WORKFLOW}):
        Engine().remove_image(image["Id"])


@pytest.fixture
def base() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rig-"))
    yield folder
    forget_images()
    remove_tree(folder)


def setups(store: FailingStore) -> list[str]:
    return [info.key for info in store.list(layout.cache_prefix(WORKFLOW))]


def test_the_second_machine_does_not_build(base: Path) -> None:
    store = FailingStore()
    assert "building" in Machine(base / "1", store).run("a-1")
    assert len(setups(store)) == 1
    log = Machine(base / "2", store).run("a-2")
    assert "building" not in log and log.endswith("made\n")


def test_a_large_one_of_a_job_that_ends_at_once(base: Path) -> None:
    store = FailingStore()
    Machine(base / "1", store).run("a-1", setup=["echo made > /made; head -c 300000000 /dev/zero > /zeros"])
    assert len(setups(store)) == 1
    assert not Engine().containers({PACKING_LABEL: f"a-1-{SESSION}"})


class OnceFailing(FailingStore):
    """Refuses the first setup that it is given."""

    refused = False

    def put(self, key: str, chunks: bytes | Iterable[bytes], *, size: int = 0) -> None:
        if key.startswith(layout.cache_prefix(WORKFLOW)) and not self.refused:
            self.refused = True
            raise errors.StoreError(f"no answer for {key}", "wait")
        super().put(key, chunks, size=size)


def test_one_that_could_not_be_saved_meanwhile_is_saved_at_the_end(base: Path) -> None:
    store = OnceFailing()
    Machine(base / "1", store).run("a-1", "sleep 3")
    assert store.refused and len(setups(store)) == 1


def test_one_that_is_damaged_is_built_and_replaced(base: Path) -> None:
    store = FailingStore()
    Machine(base / "1", store).run("a-1")
    [key] = setups(store)
    whole = store.get(key)
    store.put(key, whole[: len(whole) // 2])
    assert "building" in Machine(base / "2", store).run("a-2")
    assert len(store.get(key)) > len(whole) // 2


def test_what_cannot_be_packed_stays_where_it_is(base: Path) -> None:
    store = FailingStore()
    machine = Machine(base / "1", store)
    log = machine.run("a-1", setup=["rm /bin/tar; echo made > /made"])
    assert log.endswith("made\n") and setups(store) == []

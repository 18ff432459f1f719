"""A store that goes away for good: nobody is told in it how the job ended, and yet no machine may wait for ever."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.local.client import remove_tree
from dstack_cloud.courier.carrier import Carrier
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.main import SocketRoad, dismiss
from dstack_cloud.storage.base import ObjectInfo
from tests.fakes.failing_store import FailingStore
from tests.unit.runner.rig import PATIENCE, Rig, until

ERRAND = Errand("a-1", "shady-1", "train", 1, "train", code="ab" * 32)
EVERYTHING = ""


class LosableStore(FailingStore):
    """Lists nothing either, as long as all of it is broken."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._check(prefix)
        return super().list(prefix)


@pytest.fixture
def rig() -> Iterator[Rig]:
    base = Path(tempfile.mkdtemp(prefix="outage-"))
    made = Rig(base).start()
    yield made
    made.end()
    remove_tree(base)


def start(rig: Rig, store: LosableStore, errand: Errand, seconds: float) -> tuple[Carrier, threading.Thread]:
    patience = {"downloading": seconds, "uploading": seconds}
    carrier = Carrier(store, SocketRoad(rig.socket), errand, patience)
    thread = threading.Thread(target=carrier.run, daemon=True)
    thread.start()
    return carrier, thread


def test_gone_while_the_job_runs_it_is_given_up_only_at_its_end(rig: Rig) -> None:
    store, errand = LosableStore(), Errand("a-1", "shady-1", "train", 1, "train")
    rig.submit("while [ ! -e go ]; do echo x; sleep 0.05; done", attempt=errand.attempt_id)
    carrier, thread = start(rig, store, errand, 0.5)
    until(lambda: store.puts, "the first words")
    store.broken = {EVERYTHING}
    until(lambda: carrier.failures > 2, "several failures")
    assert (rig.link.state().phase, carrier.given_up) == ("running", "")
    next(rig.folder.rglob("work*")).joinpath("go").touch()
    thread.join(PATIENCE)
    assert carrier.given_up.startswith("no answer for ")
    assert not carrier.dismissed


def test_never_there_the_job_does_not_wait_for_ever_for_its_inputs(rig: Rig) -> None:
    store = LosableStore()
    store.broken = {EVERYTHING}
    rig.submit("true", attempt=ERRAND.attempt_id, inputs=ERRAND.inputs)
    carrier, thread = start(rig, store, ERRAND, 0.2)
    thread.join(PATIENCE)
    assert (carrier.given_up != "", rig.link.state().phase) == (True, "downloading")
    dismiss(SocketRoad(rig.socket).open())
    assert rig.process
    assert rig.process.wait(PATIENCE) == 0


def test_back_before_the_patience_is_over_nothing_is_lost(rig: Rig) -> None:
    store, errand = LosableStore(), Errand("a-1", "shady-1", "train", 1, "train")
    store.broken = {EVERYTHING}
    rig.submit("echo one", attempt=errand.attempt_id)
    carrier, thread = start(rig, store, errand, PATIENCE)
    until(lambda: carrier.failures > 2, "several failures")
    store.broken = set()
    thread.join(PATIENCE)
    assert (carrier.given_up, carrier.dismissed) == ("", True)
    assert b"one\n" in [store.get(key) for key in store.puts if "/logs/" in key]


def test_a_store_that_answers_again_at_the_last_moment_is_told(rig: Rig) -> None:
    store = LosableStore()
    rig.submit("true", attempt=ERRAND.attempt_id, inputs=ERRAND.inputs)
    carrier, thread = start(rig, store, ERRAND, 0.0)
    thread.join(PATIENCE)
    assert b'"finished"' in store.get(ERRAND.place.status)
    assert carrier.given_up == ""


def test_a_store_that_is_gone_hides_no_runner_that_is_gone(rig: Rig) -> None:
    store, errand = LosableStore(), Errand("a-1", "shady-1", "train", 1, "train")
    store.broken = {EVERYTHING}
    rig.submit("true", attempt=errand.attempt_id)
    carrier, thread = start(rig, store, errand, PATIENCE)
    until(lambda: carrier.failures > 2, "several failures")
    assert carrier.unreachable_for == 0
    rig.crash()
    until(lambda: carrier.unreachable_for > 0, "the loss")
    carrier.stop()
    thread.join(PATIENCE)

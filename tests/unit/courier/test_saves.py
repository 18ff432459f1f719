"""Artifacts on their way into the store while the job runs, and back onto the next machine; with a real runner."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.local.client import remove_tree
from dstack_cloud.courier.carrier import Carrier
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.main import SocketRoad
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.storage import artifacts
from tests.fakes.failing_store import FailingStore
from tests.unit.runner.rig import PATIENCE, Rig, until

SYNC = 0.2


class Site:
    """A runner, a store, and the carriers between them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.store = FailingStore()
        self.rig = self._rig("first")
        self.carriers: list[tuple[Carrier, threading.Thread]] = []

    def _rig(self, name: str) -> Rig:
        (self.base / name).mkdir()
        return Rig(self.base / name).start()

    def another_machine(self) -> None:
        self.rig.end()
        self.rig = self._rig("second")

    def start(self, *commands: str, attempt: int = 1) -> Errand:
        errand = Errand(f"a-{attempt}", "shady-1", "train", attempt, "train", restore=attempt > 1, sync=SYNC)
        self.rig.submit(*commands, attempt=errand.attempt_id, artifacts=["out"], inputs=errand.inputs)
        carrier = Carrier(self.store, SocketRoad(self.rig.socket), errand)
        thread = threading.Thread(target=carrier.run, daemon=True)
        self.carriers.append((carrier, thread))
        thread.start()
        return errand

    def join(self) -> None:
        for _, thread in self.carriers:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def stop(self) -> None:
        for carrier, _ in self.carriers:
            carrier.stop()

    def manifest(self) -> Manifest | None:
        return artifacts.load_manifest(self.store, Errand("", "shady-1", "train", 1, "").job_place)

    def paths(self) -> list[str]:
        manifest = self.manifest()
        return [entry.path for entry in manifest.entries if entry.kind == "file"] if manifest else []

    def sent(self) -> list[str]:
        """Keys of artifacts whose bytes came from a runner."""
        return [key for key in self.store.puts if "/out/" in key]

    def status(self, errand: Errand) -> dict[str, Any]:
        return dict(json.loads(self.store.get(errand.place.status)))

    def work(self, name: str) -> Path:
        return next(self.rig.folder.glob("work*")) / name


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(Path(tempfile.mkdtemp(prefix="saves-")))
    yield made
    made.stop()
    if made.rig.process is not None and made.rig.process.poll() is None:
        made.rig.end()
    remove_tree(made.base)


LOOP = "while [ ! -e go ]; do sleep 0.05; done"


def test_what_stopped_changing_is_saved_while_the_job_runs(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", LOOP, "echo 2 > out/b")
    until(lambda: site.paths() == ["out/a"], "the first save")
    manifest = site.manifest()
    assert manifest is not None
    assert not manifest.complete
    site.work("go").touch()
    site.join()
    manifest = site.manifest()
    assert manifest is not None
    assert (manifest.complete, site.paths(), site.status(errand)["exit_code"]) == (True, ["out/a", "out/b"], 0)


def test_what_is_unchanged_is_sent_once_and_ends_where_a_person_looks_for_it(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", LOOP)
    until(lambda: site.paths() == ["out/a"], "the first save")
    site.work("go").touch()
    site.join()
    assert len(site.sent()) == 1
    assert site.store.get(errand.place.artifact("out/a")) == b"1\n"


def test_the_next_attempt_goes_on_with_what_was_saved(site: Site) -> None:
    site.start("mkdir out", "echo 1 > out/a", LOOP)
    until(lambda: site.paths() == ["out/a"], "the first save")
    site.stop()
    site.join()
    site.another_machine()
    site.store.puts.clear()
    errand = site.start("cat out/a > out/b", attempt=2)
    site.join()
    assert (site.status(errand)["exit_code"], site.paths()) == (0, ["out/a", "out/b"])
    assert [key.rpartition("/")[2] for key in site.sent()] == ["b"]
    assert b"".join(artifacts.archive(site.store, site.manifest() or Manifest("", "", 0))).count(b"1\n") == 2


def test_the_next_attempt_starts_without_where_nothing_was_saved(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", attempt=2)
    site.join()
    assert (site.status(errand)["exit_code"], site.paths()) == (0, ["out/a"])


def test_of_an_aborted_job_nothing_is_kept(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", LOOP)
    until(lambda: site.paths() == ["out/a"], "the first save")
    site.rig.link.stop(abort=True)
    site.join()
    assert (site.status(errand)["reason"], site.manifest()) == ("aborted", None)


def test_a_store_that_is_away_for_a_while_only_delays_a_save(site: Site) -> None:
    site.store.broken = {"manifests/"}
    site.start("mkdir out", "echo 1 > out/a", LOOP)
    until(site.sent, "an object")
    site.store.broken = set()
    until(lambda: site.paths() == ["out/a"], "the first save")
    site.work("go").touch()
    site.join()


def test_a_hitch_after_all_was_brought_together_costs_no_file(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", "echo hello", LOOP)
    until(lambda: site.paths() == ["out/a"], "the first save")
    site.store.broken = {"log_times"}
    site.work("go").touch()
    until(lambda: site.carriers[0][0].failures > 1, "a second try")
    site.store.broken = set()
    site.join()
    assert (site.status(errand)["phase"], site.status(errand)["reason"]) == ("finished", "")
    assert b"1\n" in b"".join(artifacts.archive(site.store, site.manifest() or Manifest("", "", 0)))


def test_one_that_was_given_up_spoils_nothing_of_a_later_attempt(site: Site) -> None:
    errand = site.start("mkdir out", "echo 1 > out/a", LOOP)
    until(lambda: site.paths() == ["out/a"], "the first save")
    later = replace(errand, attempt_id="a-2", attempt=2)
    site.store.put(later.place.status, b"{}")
    site.store.put(later.place.artifact("out/b"), b"on its way")
    before = site.manifest()
    site.work("go").touch()
    site.join()
    assert (site.status(errand)["reason"], site.manifest()) == ("output", before)
    assert site.store.exists(later.place.artifact("out/b"))

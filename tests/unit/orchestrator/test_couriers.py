"""Couriers against a real runner: whatever breaks on the way, the store gets all of it, or the job ends and says why."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from dstack_cloud import errors
from dstack_cloud.courier.trouble import PATIENCE, Trouble
from dstack_cloud.domain.runs import CodeRef
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.storage import artifacts, caches, layout
from tests.unit.orchestrator.errand import ATTEMPT, PLACE, Errand, saved, wait_until
from tests.unit.runner.rig import tar_of

JOB = layout.JobPlace("shady-1", "train")


def test_inputs_go_there_and_log_artifacts_and_caches_come_back(errand: Errand) -> None:
    code = errand.save_code({"a.txt": b"hello"})
    commands = ("cat a.txt", "mkdir out", "cp a.txt out/", "echo 1 > c/x")
    errand.hand_over(*commands, code_ref=code, artifacts=saved("out"), cache=saved("c"))
    errand.send_courier().join()
    status = errand.status()
    assert (status["phase"], status["exit_code"], errand.log()) == ("finished", 0, b"hello")
    manifest = artifacts.load_manifest(errand.store, JOB)
    assert manifest is not None
    assert [entry.path for entry in manifest.entries if entry.kind == "file"] == ["out/a.txt"]
    assert [entry.workflow for entry in caches.list_caches(errand.store)] == ["train"]
    assert errand.rig.process is not None
    assert errand.rig.process.wait(60) == 0


def test_what_is_left_out_while_outputs_are_collected_is_told(errand: Errand) -> None:
    errand.hand_over("mkdir out", artifacts=saved("out"))
    errand.rig.wait("uploading")
    os.mkfifo(errand.rig.folder / "work" / "out" / "pipe")
    errand.send_courier().join()
    assert "pipe is neither a file, a folder nor a link" in errand.status()["warnings"][0]


def test_a_snapshot_that_vanished_ends_the_job(errand: Errand) -> None:
    errand.hand_over("true", code_ref=CodeRef("cd" * 32, 1, 1))
    errand.send_courier().join()
    status = errand.status()
    assert (status["phase"], status["reason"], status["exit_code"]) == ("finished", "input", None)
    assert "code/" in status["message"]


def test_a_damaged_snapshot_ends_the_job(errand: Errand) -> None:
    code = errand.save_code({"a": b"1"})
    errand.store.put(layout.code(code.sha256), b"no zstandard")
    errand.hand_over("true", code_ref=code)
    errand.send_courier().join()
    assert (errand.status()["reason"], "damaged" in errand.status()["message"]) == ("input", True)


@pytest.mark.parametrize("damage", [b"no zstandard", b""])
def test_a_damaged_cache_is_as_good_as_none(errand: Errand, damage: bytes) -> None:
    caches.save_cache(errand.store, "train", "c", [tar_of({"x": b"1" * 100_000})])
    key = layout.cache("train", "c")
    errand.store.put(key, damage or errand.store.get(key)[:60])
    errand.hand_over("ls c | wc -l", cache=saved("c"))
    errand.send_courier().join()
    assert (errand.status()["exit_code"], errand.log().strip()) == (0, b"0")


def test_a_store_that_fails_for_a_while_delays_and_loses_nothing(errand: Errand) -> None:
    errand.hand_over("echo one", "mkdir out", "echo 1 > out/a", artifacts=saved("out"))
    errand.store.broken = {"logs/", "artifacts/"}
    courier = errand.send_courier()
    errand.wait_for("uploading")
    assert courier.is_alive()
    errand.store.broken = set()
    courier.join(60)
    assert (errand.status()["phase"], errand.status()["reason"], errand.log()) == ("finished", "", b"one\n")


def test_outputs_that_can_never_be_saved_end_the_job(errand: Errand) -> None:
    errand.hand_over("mkdir out", "echo 1 > out/a", artifacts=saved("out"))
    later = replace(PLACE, attempt=2)
    artifacts.publish(errand.store, JOB, artifacts.save_artifacts(errand.store, later, [tar_of({"out/a": b"2"})]))
    errand.send_courier().join(60)
    assert (errand.status()["phase"], errand.status()["reason"]) == ("finished", "output")


def test_a_courier_after_one_that_died_before_its_last_word_goes_on(errand: Errand) -> None:
    errand.hand_over("echo one", "mkdir out", "echo 1 > out/a", artifacts=saved("out"))
    errand.store.broken = {"manifests/"}
    first = errand.send_courier()
    wait_until(lambda: errand.store.exists(PLACE.artifact("out/a")), "the artifacts")
    first.stop()
    first.join(60)
    errand.store.broken = set()
    errand.send_courier().join(60)
    assert (errand.status()["phase"], errand.log()) == ("finished", b"one\n")
    assert artifacts.load_manifest(errand.store, JOB) is not None


def test_the_last_word_is_never_taken_back(errand: Errand) -> None:
    """A server that dies between the last record and telling the runner leaves it in `uploading`."""
    errand.hand_over("true")
    errand.rig.wait("uploading")
    errand.store.put(PLACE.status, b'{"attempt": "%s", "phase": "finished"}' % ATTEMPT.encode())
    errand.send_courier().join(60)
    assert errand.status() == {"attempt": ATTEMPT, "phase": "finished"}


def test_a_runner_that_comes_back_is_served_on(errand: Errand) -> None:
    errand.hand_over("echo one", "while [ ! -e go ]; do sleep 0.05; done", "echo two")
    courier = errand.send_courier()
    wait_until(lambda: b"one" in errand.log(), "the first line")
    errand.rig.crash()
    wait_until(lambda: courier.unreachable_for > 0, "the loss")
    errand.rig.start()
    wait_until(lambda: courier.unreachable_for == 0, "the runner")
    next(errand.rig.folder.rglob("work*")).joinpath("go").touch()
    courier.join(60)
    assert (errand.status()["exit_code"], errand.log()) == (0, b"one\ntwo\n")


def test_a_runner_that_lost_its_job_ends_it(errand: Errand) -> None:
    errand.hand_over("true")
    errand.rig.wait("uploading")
    errand.rig.crash()
    errand.rig.folder.rename(errand.rig.base / "gone")
    errand.rig.start()
    errand.links.forget(errand.instance, keys=False)
    errand.send_courier().join(60)
    assert (errand.status()["phase"], errand.status()["reason"]) == ("finished", "runner")


def test_a_growing_log_alone_writes_no_status(errand: Errand) -> None:
    errand.hand_over("while [ ! -e go ]; do echo x; sleep 0.05; done")
    courier = errand.send_courier()
    wait_until(lambda: len([key for key in errand.store.puts if "/logs/" in key]) >= 2, "two flushes")
    assert len([key for key in errand.store.puts if key == PLACE.status]) <= 2
    next(errand.rig.folder.rglob("work*")).joinpath("go").touch()
    courier.join(60)


def test_trouble_is_hopeless_when_a_later_try_cannot_mend_it() -> None:
    trouble = Trouble()
    assert not any(trouble.hopeless("uploading", errors.StoreError("no answer")) for _ in range(100))
    assert [trouble.hopeless("uploading", LinkError("no", status=404)) for _ in range(3)] == [False, False, True]
    assert not trouble.hopeless("downloading", errors.NotFound("gone"))
    assert PATIENCE["uploading"] > PATIENCE["downloading"]

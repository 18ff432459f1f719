"""Whoever carries is settled once: a courier that said it is ready stays, and one that leaves never says so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dstack_cloud.courier.carrier import Carrier
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.main import FIRST_FAILURES, SocketRoad, give_way
from dstack_cloud.courier.verdict import READY, Verdict
from tests.fakes.failing_store import FailingStore


def test_of_many_that_speak_at_once_one_is_heard(tmp_path: Path) -> None:
    verdict, start, heard = Verdict(tmp_path / "verdict"), threading.Barrier(8), []

    def speak(words: str) -> None:
        start.wait()
        if verdict.settle(words):
            heard.append(words)

    threads = [threading.Thread(target=speak, args=(words,)) for words in [READY, "no bucket"] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [verdict.words]


def test_what_was_killed_before_it_spoke_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "verdict").touch()
    verdict = Verdict(tmp_path / "verdict")
    verdict.begin()
    assert verdict.settle(READY)
    verdict.begin()
    assert verdict.words == READY


@pytest.mark.parametrize(("said", "kept", "left"), [(READY, READY, []), ("", "no bucket", [0]), ("x", "x", [0])])
def test_one_whose_first_object_arrives_at_the_last_moment_stays(
    tmp_path: Path, said: str, kept: str, left: list[int]
) -> None:
    verdict = Verdict(tmp_path / "verdict")
    carrier = Carrier(FailingStore(), SocketRoad(tmp_path / "s"), Errand("a", "r", "j", 1, "w"))
    carrier.failures, carrier.complaint = FIRST_FAILURES, "no bucket"
    if said:
        verdict.settle(said)
    leaving: list[int] = []
    give_way(verdict, carrier, leaving.append)
    assert (verdict.words, leaving) == (kept, left)
    assert verdict.settle(READY) is False

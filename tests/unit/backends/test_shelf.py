from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dstack_cloud.backends.base.shelf import Shelf
from dstack_cloud.errors import Unavailable


class Source:
    """Counts how often it is asked; says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = threading.Event()
        self.broken = False

    def __call__(self) -> int:
        self.asked += 1
        self.answered.set()
        if self.broken:
            raise Unavailable("nobody answers")
        return self.asked


@pytest.fixture
def source() -> Source:
    return Source()


def shelf(folder: Path, source: Source, *, otherwise: int | None = None) -> Shelf[int]:
    return Shelf(folder / "x" / "it.json", source, fresh=100, usable=1000, otherwise=otherwise)


def make_older(folder: Path, seconds: float) -> None:
    path = folder / "x" / "it.json"
    path.write_text(json.dumps({"at": time.time() - seconds, "data": 1}))


def test_many_who_ask_at_once_make_one_call(tmp_path: Path, source: Source) -> None:
    kept = shelf(tmp_path, source)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: kept.get(), range(50))) == {1}


def test_it_outlives_the_process(tmp_path: Path, source: Source) -> None:
    shelf(tmp_path, source).get()
    assert shelf(tmp_path, source).get() == 1
    assert os.listdir(tmp_path / "x") == ["it.json"]


def test_what_is_old_answers_at_once_and_is_renewed(tmp_path: Path, source: Source) -> None:
    shelf(tmp_path, source).get()
    make_older(tmp_path, 500)
    source.answered.clear()
    kept = shelf(tmp_path, source)
    assert kept.get() == 1
    assert source.answered.wait(30)
    deadline = time.monotonic() + 30
    while kept.get() != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kept.get() == 2


def test_what_is_too_old_is_waited_for(tmp_path: Path, source: Source) -> None:
    shelf(tmp_path, source).get()
    make_older(tmp_path, 5000)
    assert shelf(tmp_path, source).get() == 2


def test_a_failure_is_raised_unless_there_is_another_answer(tmp_path: Path, source: Source) -> None:
    source.broken = True
    with pytest.raises(Unavailable):
        shelf(tmp_path, source).get()
    kept = shelf(tmp_path, source, otherwise=0)
    assert [kept.get(), kept.get(), kept.get()] == [0, 0, 0]
    assert source.asked == 2
    assert kept.read_at is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"at": "x", "data": 1}'])
def test_a_damaged_file_is_fetched_again(tmp_path: Path, source: Source, text: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "it.json").write_text(text)
    assert shelf(tmp_path, source).get() == 1


def test_a_folder_that_can_not_be_written_stops_nothing(tmp_path: Path, source: Source) -> None:
    (tmp_path / "x").write_text("a file")
    assert shelf(tmp_path, source).get() == 1

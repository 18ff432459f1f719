"""What is remembered, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.errors import Unavailable


def test_a_thing_is_looked_up_once_and_anew_when_it_was_forgotten() -> None:
    memory, looks = Memory[str, int](), count()
    assert [memory.get(key, lambda: next(looks)) for key in ("a", "a", "b", "a")] == [0, 0, 1, 0]
    memory.forget(lambda key: key == "a")
    assert [memory.get(key, lambda: next(looks)) for key in ("a", "b")] == [2, 1]
    memory.forget()
    assert memory.get("b", lambda: next(looks)) == 3


def test_what_is_too_old_is_looked_up_anew() -> None:
    memory, looks = Memory[str, int](seconds=-1.0), count()
    assert [memory.get("a", lambda: next(looks)) for _ in range(2)] == [0, 1]


def test_nothing_is_remembered_of_a_look_that_failed() -> None:
    memory = Memory[str, int]()

    def refused() -> int:
        raise Unavailable("not now")

    with pytest.raises(Unavailable):
        memory.get("a", refused)
    assert memory.get("a", lambda: 1) == 1


def test_one_looks_at_a_time_for_a_key_and_others_side_by_side() -> None:
    memory, looks, both = Memory[str, int](), count(), threading.Barrier(2, timeout=60)

    def look() -> int:
        both.wait()  # only passed when two look at once
        return next(looks)

    with ThreadPoolExecutor(8) as pool:
        found = {key: {pool.submit(memory.get, key, look) for _ in range(4)} for key in ("a", "b")}
        numbers = {key: {each.result() for each in asked} for key, asked in found.items()}
    assert sorted(numbers.values(), key=min) == [{0}, {1}]

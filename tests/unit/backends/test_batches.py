from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from dstack_cloud.backends.base.batches import Batches
from dstack_cloud.errors import Unavailable


class Slow:
    """Holds its first call until it is let go."""

    def __init__(self) -> None:
        self.calls: list[set[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, items: Collection[str]) -> Mapping[str, str]:
        self.calls.append(set(items))
        self.begun.set()
        self.go.wait(30)
        return {item: item.upper() for item in items}


def test_what_is_asked_while_a_call_is_under_way_is_one_call_more() -> None:
    slow = Slow()
    batches = Batches(slow)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(batches.ask, ["a"])
        assert slow.begun.wait(30)
        rest = [pool.submit(batches.ask, [name]) for name in "bcdefgh"]
        while batches.waiting < 7 and not any(each.done() for each in rest):
            pass
        slow.go.set()
        assert first.result()["a"] == "A"
        assert [each.result()[name] for each, name in zip(rest, "bcdefgh", strict=True)] == list("BCDEFGH")
    assert slow.calls == [{"a"}, set("bcdefgh")]


def test_everyone_hears_of_the_failure_and_the_next_call_is_new() -> None:
    calls: list[int] = []

    def fail_once(items: Collection[str]) -> Mapping[str, int]:
        calls.append(1)
        if len(calls) == 1:
            raise Unavailable("no")
        return dict.fromkeys(items, 1)

    batches = Batches(fail_once)
    with pytest.raises(Unavailable):
        batches.ask(["a"])
    assert batches.ask(["a"]) == {"a": 1}

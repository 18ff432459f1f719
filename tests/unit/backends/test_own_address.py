from __future__ import annotations

import pytest

from dstack_cloud.backends.base.own_address import AGE_SECONDS, FAILURE_SECONDS, OwnAddress
from dstack_cloud.errors import Unavailable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_is_looked_up_anew_every_few_minutes() -> None:
    clock = Clock()
    own = OwnAddress("http://127.0.0.1:1", clock)
    assert own.network() == "127.0.0.1/32"
    own._endpoint = "http://127.0.0.1.nowhere.invalid"
    assert own.network() == "127.0.0.1/32"
    clock.now += AGE_SECONDS + 1
    with pytest.raises(Unavailable, match="no way to"):
        own.network()


def test_a_question_that_failed_is_not_asked_again_at_once() -> None:
    clock = Clock()
    own = OwnAddress("http://nowhere.invalid", clock)
    with pytest.raises(Unavailable):
        own.network()
    own._endpoint = "http://127.0.0.1:1"
    with pytest.raises(Unavailable, match=r"no way to nowhere\.invalid") as caught:
        own.network()
    assert caught.value.hint and "ssh_from" in caught.value.hint
    clock.now += FAILURE_SECONDS + 1
    assert own.network() == "127.0.0.1/32"

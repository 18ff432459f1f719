from __future__ import annotations

import threading
import time
from pathlib import Path

from dstack_cloud.backends.sandbox.resources.notices import Notice, Notices, Timetable
from dstack_cloud.errors import Unavailable


class Ended:
    """Who was ended; the first `failures` calls fail."""

    def __init__(self, failures: int = 0) -> None:
        self.refs: list[str] = []
        self.failures = failures
        self.changed = threading.Event()

    def __call__(self, ref: str) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the engine is busy")
        self.refs.append(ref)
        self.changed.set()


def test_a_notice_outlives_its_process(tmp_path: Path) -> None:
    Notices(tmp_path).set("a", Notice(1.0, 2.0))
    assert Notices(tmp_path).get("a") == Notice(1.0, 2.0)
    assert Notices(tmp_path).get("b") is None
    Notices(tmp_path).forget("a")
    Notices(tmp_path).forget("a")
    assert Notices(tmp_path).coming() == {}


def test_an_end_that_was_announced_comes_after_a_restart(tmp_path: Path) -> None:
    Notices(tmp_path).set("missed", Notice(time.time() - 9, time.time() - 1))
    Notices(tmp_path).set("later", Notice(time.time(), time.time() + 900))
    ended, notices = Ended(), Notices(tmp_path)
    timetable = Timetable(notices, ended)
    timetable.look()
    deadline = time.monotonic() + 60
    while list(notices.coming()) != ["later"]:
        assert time.monotonic() < deadline
    timetable.close()
    assert ended.refs == ["missed"]


def test_an_engine_that_fails_is_asked_again(tmp_path: Path) -> None:
    ended, notices = Ended(failures=1), Notices(tmp_path)
    timetable = Timetable(notices, ended)
    timetable.look()
    notices.set("a", Notice(time.time(), time.time()))
    timetable.look()
    assert ended.changed.wait(60)
    timetable.close()

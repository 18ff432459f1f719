from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.services.follow import PIECE, QUEUED, Follower
from dstack_cloud.storage import layout
from dstack_cloud.storage.logs import LogWriter
from tests.unit.orchestrator.errand import wait_until
from tests.unit.services.office import Office


def ended_run(office: Office, log: bytes) -> str:
    name = office.submit()["name"]
    office.add_machine(name, InstanceStatus.TERMINATED)
    LogWriter(office.store, layout.AttemptPlace(name, "train", 1)).append(0, log, 1)
    office.set_job(name, attempt=1)
    office.end(name)
    return name


def split(frames: Iterator[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    parts = [frame.partition(b"\n") for frame in frames]
    return [(json.loads(head), body) for head, _, body in parts]


def pumps() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_pump" in thread.name]


def test_all_of_the_log_comes_before_the_final_state(office: Office) -> None:
    log = bytes(range(256)) * 3000
    found = split(Follower(office.context, "main", ended_run(office, log), {}).frames())
    kinds = [head["type"] for head, _ in found if head["type"] != "tick"]
    assert kinds[-1] == "run"
    assert set(kinds[:-1]) == {"log"}
    assert b"".join(body for _, body in found) == log
    assert all(head["size"] == len(body) for head, body in found if head["type"] == "log")


def test_a_follower_goes_on_from_an_offset(office: Office) -> None:
    name = ended_run(office, b"0123456789")
    assert b"".join(body for _, body in split(Follower(office.context, "main", name, {"train": 7}).frames())) == b"789"
    assert b"".join(body for _, body in split(Follower(office.context, "main", name, {"train": 99}).frames())) == b""


def test_a_slow_reader_is_waited_for_with_little_in_memory(office: Office) -> None:
    """However large the objects of the log are, what waits is bounded."""
    follower = Follower(office.context, "main", ended_run(office, bytes(PIECE * QUEUED * 2)), {})
    frames = follower.frames()
    assert len(next(frames)) < PIECE + 200
    wait_until(follower._frames.full, "a full queue")
    assert sum(map(len, follower._frames.queue)) < (PIECE + 200) * QUEUED
    frames.close()  # type: ignore[attr-defined]
    wait_until(lambda: not pumps(), "the end of its threads")


def test_an_answer_that_nobody_reads_starts_nothing(office: Office) -> None:
    Follower(office.context, "main", office.submit()["name"], {}).frames()
    assert pumps() == []
    with pytest.raises(errors.NotFound):
        Follower(office.context, "main", "nope-1", {}).frames()


def test_a_log_that_cannot_be_read_is_told_and_the_run_still_ends(office: Office) -> None:
    name = ended_run(office, b"hello")
    office.store.broken = {"/logs/"}
    found = [head for head, _ in split(Follower(office.context, "main", name, {}).frames())]
    assert [head["type"] for head in found if head["type"] != "tick"] == ["error", "run"]


def test_a_database_that_fails_ends_the_stream_without_a_last_frame(office: Office) -> None:
    """The client asks again then; a stream that never ends would be waited for."""
    frames = Follower(office.context, "main", office.submit()["name"], {}).frames()
    assert json.loads(next(frames))["type"] == "run"
    with office.database._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE run")
    office.world.changes.notify()
    assert all(head["type"] != "run" for head, _ in split(frames))

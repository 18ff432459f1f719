from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dstack_cloud import errors
from dstack_cloud.client import Client
from dstack_cloud.client.follow import LogBytes, RunChanged
from tests.fakes.unix_http import Cut, Reply, Request, reply_json, serving

LOG = bytes(range(256)) * 40


def run_frame(status: str) -> bytes:
    return json.dumps({"type": "run", "run": {"name": "shady-1", "status": status}}).encode() + b"\n"


def log_frame(data: bytes) -> bytes:
    return json.dumps({"type": "log", "job": "train", "size": len(data)}).encode() + b"\n" + data


def answer_cut_at(cuts: Iterator[int]) -> Callable[[Request], Reply]:
    """Serves the whole story from the offset asked for, in pieces of 700 bytes; dies after as many bytes as `cuts` says."""

    def answer(request: Request) -> Reply:
        start = json.loads(request.query.get("offsets", "{}")).get("train", 0)
        logs = [log_frame(LOG[at : at + 700]) for at in range(start, len(LOG), 700)]
        story = b"".join([run_frame("running"), b'{"type": "tick"}\n', *logs, run_frame("done")])
        limit = next(cuts, len(story))
        return Reply(chunks=until(story, limit))

    return answer


def until(story: bytes, limit: int) -> Iterator[bytes]:
    for start in range(0, min(limit, len(story)), 333):
        yield story[start : min(start + 333, limit)]
    if limit < len(story):
        raise Cut


def follow(home: Path) -> tuple[bytes, list[str]]:
    log, states = b"", []
    for frame in Client(home, autostart=False).follow("shady-1"):
        if isinstance(frame, LogBytes):
            log += frame.data
        else:
            states.append(frame.run["status"])
    return log, states


def test_bytes_and_states_arrive(tmp_path: Path) -> None:
    with serving(tmp_path, answer_cut_at(iter([]))) as requests:
        assert follow(tmp_path) == (LOG, ["running", "done"])
    assert len(requests) == 1


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(LOG) + 800), max_size=5))
def test_a_cut_stream_loses_nothing_and_repeats_nothing(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home, answer_cut_at(iter(cuts))):
        log, states = follow(home)
    assert log == LOG
    assert states[-1] == "done"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    view = {"code": "NotFound", "summary": "no run", "hint": None}
    with serving(tmp_path, lambda request: reply_json(view, 404)), pytest.raises(errors.NotFound):
        follow(tmp_path)


def test_a_server_that_only_fails_is_not_asked_for_ever(tmp_path: Path) -> None:
    with serving(tmp_path, lambda request: Reply(500, b"")) as requests, pytest.raises(errors.ServerError):
        follow(tmp_path)
    assert len(requests) == 3


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    story = b'{"type": "error", "summary": "the log is damaged", "hint": "look"}\n'
    with serving(tmp_path, lambda request: Reply(chunks=[story])), pytest.raises(errors.RunnerError, match="damaged"):
        follow(tmp_path)


def test_logs_continue_where_they_were_cut(tmp_path: Path) -> None:
    cuts = iter([10, 5000, 333])

    def answer(request: Request) -> Reply:
        return Reply(chunks=until(LOG, next(cuts, len(LOG))))

    with serving(tmp_path, answer) as requests:
        assert b"".join(Client(tmp_path, autostart=False).logs("shady-1", follow=True, since=5.0)) == LOG
    assert len(requests) == 4
    assert requests[0].query == {"follow": "1", "since": "5.0"}


def test_frames_carry_the_run(tmp_path: Path) -> None:
    with serving(tmp_path, lambda request: Reply(chunks=[run_frame("failed")])):
        frames = list(Client(tmp_path, autostart=False).follow("shady-1"))
    assert [frame.run["name"] for frame in frames if isinstance(frame, RunChanged)] == ["shady-1"]

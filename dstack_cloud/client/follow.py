"""Following a run across dropped connections: nothing lost, nothing twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from dstack_cloud.client.transport import ConnectionLost, Query, Stream
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.errors import ServerError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView

GIVE_UP_SECONDS = 120.0  # without one frame
_REFUSALS = 3  # of a server that is there, in a row
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds


class RunChanged(NamedTuple):
    run: RunView


class LogBytes(NamedTuple):
    job: str
    attempt: int
    data: bytes


Frame = RunChanged | LogBytes
Opener = Callable[[Query], AbstractContextManager[Stream]]


class _Positions:
    """How many bytes of each attempt's log have been handed on."""

    def __init__(self) -> None:
        self._reached: dict[tuple[str, int], int] = {}

    def query(self) -> list[str]:
        latest = {job: (attempt, reached) for (job, attempt), reached in sorted(self._reached.items())}
        return [f"{job}:{attempt}:{reached}" for job, (attempt, reached) in latest.items()]

    def fresh(self, frame: dict[str, Any], offset: int, data: bytes) -> bytes:
        """The part of `data`, which starts at `offset`, that wasn't handed on before."""
        key = (str(frame["job"]), int(frame["attempt"]))
        reached = self._reached.get(key, offset)
        new = data[max(0, reached - offset) :]
        self._reached[key] = max(reached, offset + len(data))
        return new


def follow(open_stream: Opener, *, since: float | None = None) -> Iterator[Frame]:
    """Frames until the run has ended. Raises what the server answers, or ServerError where it stays away for 2 minutes."""
    positions = _Positions()
    heard_at = time.monotonic()
    pause, refusals = _FIRST_PAUSE, 0
    while True:
        try:
            with open_stream({"from": positions.query(), "since": since}) as stream:
                for frame in _frames(stream, positions):
                    heard_at, pause, refusals = time.monotonic(), _FIRST_PAUSE, 0
                    yield frame
                    if isinstance(frame, RunChanged) and JobStatus(frame.run["status"]).finished:
                        return
        except ServerError as error:
            refusals += not isinstance(error, ConnectionLost)
            if refusals == _REFUSALS or time.monotonic() - heard_at > GIVE_UP_SECONDS:
                raise
        if time.monotonic() - heard_at > GIVE_UP_SECONDS:
            raise ServerError("the dstack server ends every answer early", "the run goes on: look with `dstack ps`")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _frames(stream: Stream, positions: _Positions) -> Iterator[Frame]:
    while (line := stream.line()).endswith(b"\n"):
        frame = json.loads(line)
        if frame["type"] == "run":
            yield RunChanged(frame["run"])
        elif frame["type"] == "log":
            for data in _log(stream, frame, positions):
                yield LogBytes(frame["job"], frame["attempt"], data)


def _log(stream: Stream, frame: dict[str, Any], positions: _Positions) -> Iterator[bytes]:
    offset, left = int(frame["offset"]), int(frame["size"])
    while left and (data := stream.some(left)):
        if new := positions.fresh(frame, offset, data):
            yield new
        offset += len(data)
        left -= len(data)

"""Following a run across dropped connections: nothing lost, nothing twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from dstack_cloud.client.transport import ConnectionLost, Query, Stream
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.errors import RunnerError, ServerError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView

GOES_ON = "the run goes on: look with `dstack ps`"
GIVE_UP_SECONDS = 120.0  # without one frame
_REFUSALS = 3  # of a server that is there, in a row
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds


class RunChanged(NamedTuple):
    run: RunView


class LogBytes(NamedTuple):
    """The next bytes of a job's log, which is that of all its attempts, one after the other."""

    job: str
    data: bytes


Frame = RunChanged | LogBytes
Opener = Callable[[Query], AbstractContextManager[Stream]]


class _Follower:
    """`reached`: how many bytes of each job's log have been handed on. `heard_at`: when the last frame came."""

    def __init__(self, open_stream: Opener, reached: Mapping[str, int]) -> None:
        self._open = open_stream
        self.reached = dict(reached)
        self.ended = False
        self.heard_at = time.monotonic()

    def frames(self) -> Iterator[Frame]:
        """Those of one connection; `ended` tells whether it brought the last one."""
        query: Query = {"offsets": json.dumps(self.reached) if self.reached else None}
        with self._open(query) as stream:
            while (line := stream.line()).endswith(b"\n"):
                self.heard_at = time.monotonic()
                frame = json.loads(line)
                if frame["type"] == "run":
                    self.ended = JobStatus(frame["run"]["status"]).finished
                    yield RunChanged(frame["run"])
                elif frame["type"] == "log":
                    yield from self._log(stream, frame)
                elif frame["type"] == "error":
                    raise RunnerError(frame["summary"], frame.get("hint"))
                if self.ended:
                    return

    def _log(self, stream: Stream, frame: dict[str, Any]) -> Iterator[Frame]:
        job, left = str(frame["job"]), int(frame["size"])
        while left and (data := stream.some(left)):
            left -= len(data)
            self.reached[job] = self.reached.get(job, 0) + len(data)
            yield LogBytes(job, data)


def follow(open_stream: Opener, reached: Mapping[str, int] | None = None) -> Iterator[Frame]:
    """Frames until the run has ended, of each job's log from `reached` on. Raises what the server answers, or ServerError where it stays away for 2 minutes."""
    follower = _Follower(open_stream, reached or {})
    patience = Patience()
    while not follower.ended:
        try:
            yield from follower.frames()
        except ServerError as error:
            patience.endure(error, follower.heard_at)
        else:
            if not follower.ended:
                patience.endure(ConnectionLost("the dstack server ends its answer early", GOES_ON), follower.heard_at)


class Patience:
    """How often and how long a cut stream is asked for again."""

    def __init__(self) -> None:
        self._pause, self._refusals, self._heard_at = _FIRST_PAUSE, 0, time.monotonic()

    def endure(self, error: ServerError, heard_at: float) -> None:
        """Waits a moment, longer each time. Raises `error` when it is enough; `heard_at` is when something last came."""
        if heard_at > self._heard_at:
            self._pause, self._refusals, self._heard_at = _FIRST_PAUSE, 0, heard_at
        self._refusals += not isinstance(error, ConnectionLost)
        if self._refusals == _REFUSALS or time.monotonic() - heard_at > GIVE_UP_SECONDS:
            raise error
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def follow_bytes(open_stream: Callable[[], AbstractContextManager[Stream]]) -> Iterator[bytes]:
    """A stream of bytes to its real end: where it is cut, it is asked for again and what was had already is skipped."""
    reached, patience, heard_at = 0, Patience(), time.monotonic()
    while True:
        position = 0
        try:
            with open_stream() as stream:
                for data in stream.chunks():
                    heard_at = time.monotonic()
                    new = data[max(0, reached - position) :]
                    position += len(data)
                    reached = max(reached, position)
                    if new:
                        yield new
            return
        except ServerError as error:
            patience.endure(error, heard_at)

"""Following a run while its machine is broken on purpose, and noting what tells whether its work survived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dstack_cloud.client.follow import Frame, LogBytes
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.errors import DstackError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import JobView, RunView, SaveView
    from dstack_cloud.client import Client


class Act(NamedTuple):
    """`after`: seconds since the job began to run; `fault` and `value` as `backends.base` has them; `text` for people."""

    after: float
    fault: str
    value: float
    text: str


ENDING = ("interrupt", "kill")


@dataclass
class Notes:
    """What was seen. Moments are seconds of the monotonic clock, but for `told_at`: UTC.

    `arrivals`: (bytes of the log so far, when). `broken_at`: when the notice, or without one the end, came; `ends`: whether
    its machine ends by it. `saved`: what the next attempt found. `restarted_at`: when that one ran.
    """

    job: str = ""
    running_at: float | None = None
    broken_at: float | None = None
    ends: bool = False
    told_at: float | None = None
    restarted_at: float | None = None
    saved: SaveView | None = None
    arrivals: list[tuple[int, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Rehearsal:
    """`tell` shows a line while the run is followed."""

    def __init__(self, client: Client, acts: Sequence[Act], tell: Callable[[str], None]) -> None:
        self._client = client
        self._acts = sorted(acts)
        self._tell = tell
        self._over = threading.Event()
        self._position = 0
        self._looked_at = 0
        self.notes = Notes()

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames. The first job that runs is the one that is broken."""
        try:
            for frame in frames:
                if isinstance(frame, LogBytes):
                    self._heard(frame)
                else:
                    self._seen(frame.run)
                yield frame
        finally:
            self._over.set()

    def _heard(self, frame: LogBytes) -> None:
        if frame.job == self.notes.job.partition(".")[2]:
            self._position += len(frame.data)
            self.notes.arrivals.append((self._position, time.monotonic()))

    def _seen(self, run: RunView) -> None:
        for job in run["jobs"]:
            running = job["status"] == "running"
            if running and not self.notes.job:
                self.notes.job = job["id"]
                self.notes.running_at = time.monotonic()
                threading.Thread(target=self._perform, daemon=True).start()
            if job["id"] == self.notes.job:
                self._follow(job, running=running)

    def _follow(self, job: JobView, *, running: bool) -> None:
        """What the next attempt is given is in the store when that one is asked for."""
        if job["attempt"] < 2 or JobStatus(job["status"]).finished:
            return
        if job["attempt"] > self._looked_at:
            self._looked_at = job["attempt"]
            saves = self._client.saves(job["id"])
            earlier = [save for save in saves if save["attempt"] < job["attempt"]]
            self.notes.saved = earlier[-1] if earlier else None
        if running and self.notes.restarted_at is None:
            self.notes.restarted_at = time.monotonic()

    def _perform(self) -> None:
        start = time.monotonic()
        for act in self._acts:
            if self._over.wait(max(0.0, start + act.after - time.monotonic())):
                return
            try:
                self._client.inflict(self.notes.job, act.fault, act.value)
            except DstackError as error:
                self.notes.wrong.append(f"{act.text}: {error.summary}")
                continue
            self._note(act)
            self._tell(act.text)

    def _note(self, act: Act) -> None:
        """The first thing that ends the machine counts; where nothing does, the first that disturbs it."""
        notes, ends = self.notes, act.fault in ENDING
        if notes.broken_at is None or (ends and not notes.ends):
            notes.broken_at, notes.told_at = time.monotonic(), time.time()
        notes.ends = notes.ends or ends

"""The stream behind an attached terminal: states of a run and its jobs' logs, in frames (docs/dev/api.md)."""

from __future__ import annotations

import itertools
import json
import logging
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dstack_cloud import errors
from dstack_cloud.domain.runs import Job
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.services.logs import LogRequest, read_log

log = logging.getLogger(__name__)

HEARTBEAT = 2.0
# bound what a slow reader makes the server hold: 64 pieces of at most 64 KiB a follower
QUEUED = 64
PIECE = 2**16


def read_offsets(text: str) -> dict[str, int]:
    """Of `{"job": bytes}`. Raises UsageError."""
    try:
        return {str(job): max(int(offset), 0) for job, offset in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError, OverflowError) as error:
        raise errors.UsageError(f"`offsets` is {text!r}, no JSON object of numbers") from error


class Follower:
    """One follower: a thread for the logs, one job's after the other's in their order (nodes that run together side by side), one for
    the states, and a queue that joins them. `offsets`: so many bytes of each job's log are there already."""

    def __init__(self, context: Context, project: str, name: str, offsets: Mapping[str, int]) -> None:
        self._context, self._project, self._name = context, project, name
        self._offsets = offsets
        self._frames: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self._gone = threading.Event()
        self._broken = threading.Event()
        self._logs: threading.Thread | None = None

    def frames(self) -> Iterator[bytes]:
        """Raises NotFound before the first frame."""
        _, jobs = runs.find(self._context, self._project, self._name)
        return self._read(jobs)

    def _read(self, jobs: list[Job]) -> Iterator[bytes]:
        # started by the first reading: an answer that nobody ever reads starts nothing
        self._logs = threading.Thread(target=self._pump_logs, args=(jobs,), daemon=True)
        states = threading.Thread(target=self._pump_states, daemon=True)
        try:
            self._logs.start()
            states.start()
            while True:
                try:
                    frame = self._frames.get(timeout=HEARTBEAT)
                except queue.Empty:
                    # lets the server notice a reader that went away
                    yield _header({"type": "tick"})
                    continue
                if frame is None:
                    return
                yield frame
        finally:
            self._gone.set()

    def _put(self, frame: bytes | None) -> bool:
        while not self._gone.is_set():
            try:
                self._frames.put(frame, timeout=HEARTBEAT)
            except queue.Full:
                continue
            return True
        return False

    def _pump_logs(self, jobs: Sequence[Job]) -> None:
        for _, nodes in itertools.groupby(jobs, key=lambda job: job.spec.workflow):
            if self._gone.is_set() or self._broken.is_set():
                return
            pumps = [threading.Thread(target=self._pump_log, args=(job,), daemon=True) for job in nodes]
            for pump in pumps:
                pump.start()
            for pump in pumps:
                pump.join()

    def _pump_log(self, job: Job) -> None:
        try:
            offset = self._offsets.get(job.name, 0)
            for chunk in read_log(self._context, job.id, LogRequest(follow=True), offset=offset):
                if self._gone.is_set():
                    return
                for start in range(0, len(chunk), PIECE):
                    piece = chunk[start : start + PIECE]
                    if not self._put(_header({"type": "log", "job": job.name, "size": len(piece)}) + piece):
                        return
        except errors.DstackError as error:
            self._put(_header({"type": "error", "summary": error.summary, "hint": error.hint}))
        except Exception:
            # a stream without its last frame is asked for again; one that never ends would be waited for
            log.exception("the log of %s can't be followed", job.id)
            self._broken.set()

    def _pump_states(self) -> None:
        try:
            self._put_states()
        except errors.DstackError as error:
            log.warning("following %s: %s", self._name, error.summary)
        finally:
            self._put(None)

    def _put_states(self) -> None:
        """The final state is the last frame: it waits until all of the log is out."""
        changes = self._context.world.changes
        sent = ""
        while not self._gone.is_set() and not self._broken.is_set():
            seen = changes.count
            try:
                run, _ = runs.find(self._context, self._project, self._name)
            except errors.NotFound:
                return
            view = runs.view(self._context, run)
            ended = view["finished_at"] is not None
            if ended:
                if self._logs is not None:
                    self._logs.join()
                if self._broken.is_set():
                    return
            text = json.dumps(view, sort_keys=True)
            if text != sent:
                self._put(_header({"type": "run", "run": view}))
                sent = text
            if ended:
                return
            changes.wait(seen, HEARTBEAT)


def _header(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame).encode() + b"\n"

"""The runner of one folder: takes one job, answers for it, and remembers it across restarts."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dstack_cloud.runner_bootstrap.payload.attempt import MESSAGES, Attempt
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.http1 import Body, Refused
from dstack_cloud.runner_bootstrap.payload.inputs import ARTIFACTS
from dstack_cloud.runner_bootstrap.payload.job import BadJob, Job, parse_job
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.spool import Spool
from dstack_cloud.runner_bootstrap.payload.state import StateBoard

if TYPE_CHECKING:
    from dstack_cloud.runner_bootstrap.payload.outputs import Sending
    from dstack_cloud.runner_bootstrap.payload.tree import Entry

TIDY_SECONDS = 30.0


class Runner:
    """`finished` is set once the server has everything: the program may end."""

    def __init__(self, folder: Folder, machine: Machine) -> None:
        self.state = StateBoard(folder)
        self.finished = threading.Event()
        self._folder = folder
        self._machine = machine
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._tidied_at = time.monotonic()
        folder.make()
        self.spool = Spool(folder.log, folder.log_times)

    def open(self) -> None:
        """Goes on from what an earlier runner of this folder left."""
        restarted = self.state.load()
        self.spool.start()
        if not restarted:
            return
        phase = self.state["phase"]
        if self.state.saved.get("job"):
            self._attempt = self._new_attempt(parse_job(self.state.saved["job"]))
            self._watch_notices()
        if phase in ("downloading", "running") and self._attempt:
            self._attempt.resume(phase)
        elif phase == "uploading":
            self.spool.complete()
        elif phase == "finished":
            self.finished.set()

    @property
    def idle(self) -> bool:
        return bool(self.state["phase"] == "idle")

    # -- what the server asks for ------------------------------------------------------------------------------------

    def submit(self, raw: object) -> None:
        """Takes the job. Raises Refused: 400 for a bad one, 409 where there is another or it was stopped before."""
        try:
            job = parse_job(raw)
        except BadJob as error:
            raise Refused(400, str(error)) from error
        with self._lock:
            if self._attempt is not None and self._attempt.job.attempt == job.attempt:
                return
            if not self.idle:
                raise Refused(
                    409,
                    f"this runner can't take {job.attempt}: it had {self.state['attempt'] or 'been stopped'} before",
                )
            attempt = self._new_attempt(job)
            self.state.update({"job": job.without_secrets()}, phase="downloading", attempt=job.attempt)
            self._attempt = attempt
        attempt.begin()
        self._watch_notices()

    def take_input(self, name: str, body: Body) -> None:
        """Raises Refused, and http1.Truncated where the stream breaks off."""
        if self._attempt is None:
            raise Refused(409, "there is no job yet")
        if self.state["phase"] != "downloading":
            body.drain()  # it was here before, or the attempt is over
            return
        self._attempt.take_input(name, body)

    def take_changes(self, body: Body) -> list[str]:
        """Of the working folder, while the job runs; the names of what was left as the job has it. Raises Refused, Truncated."""
        if self._attempt is None or self.state["phase"] != "running":
            raise Refused(409, "the job doesn't run now")
        # imported here: most jobs' code stays as it is
        from dstack_cloud.runner_bootstrap.payload import changes
        from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive

        try:
            return changes.take(body, self._folder, self._attempt.job)
        except (BadArchive, OSError) as error:
            raise Refused(400, f"the changes couldn't be unpacked: {error}") from error

    def stop(self, abort: bool) -> None:
        """Asks the job to end; again is no error, and an abort overrides a stop."""
        reason = "aborted" if abort else "stopped"
        with self._lock:
            phase = self.state["phase"]
            if phase == "idle":
                self.spool.complete()
                self.state.update(phase="uploading", reason=reason, message=MESSAGES[reason], log_complete=True)
            elif phase == "uploading" and abort:
                self.state.update(outputs=[], reason=reason, message=MESSAGES[reason])
            elif self._attempt is not None:
                self._attempt.stop(reason)

    def cache(self, name: str) -> Iterator[Entry]:
        """The members of one cache. Raises Refused."""
        return self._collectable(name).cache(name)

    def artifacts(self, base: int | None) -> Sending:
        """Also while the job runs. `base`: the number of an earlier stream that has arrived. Raises Refused."""
        attempt = self._attempt
        if self.state["phase"] == "running" and attempt is not None and attempt.job.artifacts:
            return attempt.artifacts(base, live=True)
        return self._collectable(ARTIFACTS).artifacts(base, live=False)

    def setup(self) -> Iterator[bytes]:
        """What the job's setup made here, for other machines. Raises Refused; the iterator Failure."""
        attempt = self._attempt
        if attempt is None or self.state["phase"] not in ("running", "uploading"):
            raise Refused(404, "no setup was built here")
        return attempt.give_setup()

    def collected(self) -> None:
        """Raises Refused where the job isn't over."""
        if self.state["phase"] not in ("uploading", "finished"):
            raise Refused(409, f"there is nothing to collect yet: the job is {self.state['phase']}")
        if self.state["phase"] == "uploading":
            self.state.update(phase="finished")

    # -- what time and the machine bring -----------------------------------------------------------------------------

    def check_time(self) -> None:
        """Called about twice a second."""
        attempt = self._attempt
        if attempt is None or self.state["phase"] != "running":
            return
        limit = attempt.job.max_duration
        if limit is not None and self.state["started_at"] + limit <= time.time():
            attempt.stop("max_duration")
        if time.monotonic() - self._tidied_at > TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            attempt.tidy()

    def _watch_notices(self) -> None:
        cloud = self._attempt.job.notice if self._attempt else None
        if cloud:
            # imported here: most machines aren't taken back
            from dstack_cloud.runner_bootstrap.payload import notices

            notices.watch(cloud, self._machine.metadata, lambda: self._interrupt(notices.WINDOWS[cloud]))

    def _interrupt(self, window: float) -> None:
        """The cloud takes the machine back in `window` seconds: a third of them is the job's, the rest is for its outputs."""
        if self._attempt is not None and self.state["phase"] in ("downloading", "running"):
            self._attempt.stop("interrupted", window / 3)
        if self.state["notice_at"] is None:
            self.state.update(notice_at=time.time())

    def leave(self, window: float, *, for_good: bool = False) -> None:
        """The machine shuts down, perhaps to come back: the job ends as on a cloud's notice, and what it owes is on the disk when
        this returns. `for_good`: the disk goes, too, so it was also collected, or `window` seconds are over."""
        began = time.monotonic()
        attempt = self._attempt if self.state["phase"] in ("downloading", "running") else None
        self._interrupt(min(window, self._window()))
        if attempt is not None:
            attempt.wait_over(window)
        if for_good and not self.idle:
            self.finished.wait(max(0.0, began + window - time.monotonic()))

    def _window(self) -> float:
        """What the cloud leaves a machine that it shuts down."""
        cloud = self._attempt.job.notice if self._attempt else None
        if not cloud:
            return math.inf
        from dstack_cloud.runner_bootstrap.payload import notices

        return notices.WINDOWS[cloud]

    def abandon(self) -> None:
        """The machine is taken back, or the folder is gone: the job dies at once."""
        if self._attempt is not None and self.state["phase"] in ("downloading", "running"):
            self._attempt.kill()

    def _new_attempt(self, job: Job) -> Attempt:
        return Attempt(self._folder, job, self.spool, self.state, self._machine)

    def _collectable(self, name: str) -> Attempt:
        listed = [output["name"] for output in self.state["outputs"]]
        if self.state["phase"] != "uploading" or self._attempt is None or name not in listed:
            raise Refused(404, f"there is no output {name!r} to collect")
        return self._attempt

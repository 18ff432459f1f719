"""One try of a job: inputs and image side by side, the job itself, a stop that may come at any moment, what is left behind."""

from __future__ import annotations

import math
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dstack_cloud.runner_bootstrap.payload import memory
from dstack_cloud.runner_bootstrap.payload.executor import Ending, Executor, Failure
from dstack_cloud.runner_bootstrap.payload.folder import Folder, remove_tree
from dstack_cloud.runner_bootstrap.payload.http1 import Body, Refused
from dstack_cloud.runner_bootstrap.payload.inputs import SETUP, Intake
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.spool import Spool
from dstack_cloud.runner_bootstrap.payload.state import StateBoard

if TYPE_CHECKING:
    from dstack_cloud.runner_bootstrap.payload.outputs import Outputs, Sending
    from dstack_cloud.runner_bootstrap.payload.setup import Setup
    from dstack_cloud.runner_bootstrap.payload.syncs import Syncs
    from dstack_cloud.runner_bootstrap.payload.tree import Entry, Warn

KILL_TRIES = 200
LOOK_SECONDS = 0.1
ABORT_GRACE = 1.0
END_RETRY_SECONDS = 1.0
MESSAGES = {
    "stopped": "stopped",
    "aborted": "aborted",
    "max_duration": "stopped because max_duration is over",
    "interrupted": "interrupted: this machine is taken back, or shuts down",
}
LOST = "the runner was restarted, and the job was lost with the one before"


class Attempt:
    def __init__(self, folder: Folder, job: Job, spool: Spool, state: StateBoard, machine: Machine) -> None:
        self.job = job
        self._folder = folder
        self._spool = spool
        self._state = state
        self._executor, self._setup = make_executor(folder, job, spool, machine)
        self._intake = Intake(folder, job)
        self._syncs: Syncs | None = None
        self._over = threading.Event()
        self._news = threading.Condition()
        # guarded by _news:
        self._prepared = False
        self._running = False
        self._asked = ""
        self._cut_at = math.inf
        self._broken: Failure | None = None
        self._stopper: threading.Thread | None = None

    def begin(self) -> None:
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()
        threading.Thread(target=self._until_over, args=(self._run,), name="attempt", daemon=True).start()

    def resume(self, phase: str) -> None:
        """After a restart of the runner in this phase: what still runs is watched again, anything else is over."""
        threading.Thread(
            target=self._until_over, args=(lambda: self._resume(phase),), name="attempt", daemon=True
        ).start()

    def take_input(self, name: str, body: Body) -> None:
        """Raises Refused, and http1.Truncated. What can't be unpacked for good ends the attempt."""
        # imported here: an idle runner has no use for tarfile
        from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive

        if name == SETUP and self._setup is not None:
            self._take_setup(self._setup, body)
            return
        if name not in self._intake:
            raise Refused(404, f"no input {name!r} is expected")
        if not self._wait_turn(name):
            body.drain()
            return
        try:
            self._intake.take(name, body)
        except (BadArchive, OSError) as error:
            failure = Failure("input", f"{name} couldn't be unpacked: {error}")
            self._break(failure)
            raise Refused(400, failure.message) from error
        with self._news:
            self._news.notify_all()

    def stop(self, reason: str, within: float = math.inf) -> None:
        """`stopped`, `aborted`, `max_duration` or `interrupted`; again is no error, and the grace runs once: it is over after
        `within` seconds from now at the latest. An abort overrides, and so does a stop of what was only interrupted."""
        with self._news:
            if not self._asked or reason == "aborted" or (reason, self._asked) == ("stopped", "interrupted"):
                self._asked = reason
            if reason == "aborted":
                within = ABORT_GRACE  # also of a stop's grace, what is left of it
            self._cut_at = min(self._cut_at, time.monotonic() + within)
            self._start_stopper()
            self._news.notify_all()

    def kill(self) -> None:
        """At once and without outputs; returns when nothing of it runs, or stays in the engine, any more."""
        with self._news:
            self._asked = "aborted"
            self._news.notify_all()
        for _ in range(KILL_TRIES):
            self._executor.kill()  # again, because it may have been about to start
            if self._over.wait(0.1):
                return

    def wait_over(self, seconds: float) -> None:
        self._over.wait(seconds)

    def cache(self, name: str) -> Iterator[Entry]:
        """The members of one of the state's outputs."""
        return outputs_of(self._folder, self.job, self._state.warn).cache_named(name)

    def artifacts(self, base: int | None, *, live: bool) -> Sending:
        """The next stream of them; with `live` of what has stopped changing."""
        from dstack_cloud.runner_bootstrap.payload.outputs import Sending, silent

        warn = silent if live else self._state.warn
        entries = outputs_of(self._folder, self.job, warn).artifacts()
        stream = self._streams().stream(base, live=live)
        return Sending(stream.number, lambda sink: stream.write(entries, sink, warn))

    def give_setup(self) -> Iterator[bytes]:
        """Raises Refused; the iterator Failure."""
        if self._setup is None or not self._setup.built:
            raise Refused(404, "no setup was built here")
        return self._setup.keep.give(self._setup.key)

    def tidy(self) -> None:
        """Reaps orphans that have ended; for long jobs, now and then."""
        self._executor.wait_gone(0)

    def _streams(self) -> Syncs:
        """One, for it remembers what was torn."""
        from dstack_cloud.runner_bootstrap.payload.syncs import Syncs

        with self._news:
            if self._syncs is None:
                self._syncs = Syncs(self._folder.syncs)
            return self._syncs

    # -- before the job ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        try:
            self._executor.prepare(self._say)
        except Failure as failure:
            self._break(failure)
        except Exception as error:  # noqa: BLE001 - it is the attempt's end, and said so
            self._break(bug(error))
        with self._news:
            self._prepared = True
            self._news.notify_all()

    def _say(self, message: str) -> None:
        if self._asked or self._broken:
            raise Failure("stopped", "no longer needed")
        self._state.say(message)

    def _break(self, failure: Failure) -> None:
        with self._news:
            self._broken = self._broken or failure
            self._news.notify_all()

    def _wait_ready(self) -> None:
        self._wait_for(lambda: self._prepared and not self._intake.missing)

    def _wait_for(self, there: Callable[[], bool]) -> None:
        with self._news:
            while not self._asked and not self._broken and not there():
                self._news.wait()
            if self._asked:
                raise Failure(self._asked, MESSAGES[self._asked])
            if self._broken:
                raise self._broken

    def _wait_turn(self, name: str) -> bool:
        """Until what must be in place before this input is; False where it isn't needed any more."""
        with self._news:
            while self._intake.before(name) and not self._asked and not self._broken:
                self._news.wait()
            return not self._asked and not self._broken

    # -- the job -----------------------------------------------------------------------------------------------------

    def _run(self) -> Ending:
        self._wait_ready()
        if self._setup is not None and (ending := self._set_up(self._setup)) is not None:
            return ending
        self._executor.start(self._commit)
        return self._watch()

    def _commit(self, found: dict[str, Any]) -> None:
        """The job can change its files from here on."""
        if self._intake.restored:
            from dstack_cloud.runner_bootstrap.payload.outputs import silent

            entries = outputs_of(self._folder, self.job, silent).artifacts()
            self._streams().record_restored(entries, self._intake.restored)
            self._intake.restored = set()
        saved = {"found": found, "memory_kills": memory.kills()}
        # what a setup takes is the job's time, too
        started_at = self._state["started_at"] or time.time()
        self._state.update(saved, phase="running", started_at=started_at, message="")

    def _watch(self) -> Ending:
        with self._news:
            self._running = True
            self._start_stopper()
        ending = self._executor.wait()
        with self._news:
            self._running = False
            stopper, asked = self._stopper, self._asked
        if stopper is None:
            self._executor.kill()  # what the command left in the background
            return memory.judge(ending, self._state.saved.get("memory_kills", 0), memory.kills())
        stopper.join()
        return Ending(ending.exit_code, asked, MESSAGES[asked])

    def _start_stopper(self) -> None:
        """With the lock held."""
        if self._asked and self._running and self._stopper is None:
            self._stopper = threading.Thread(target=self._stop_gracefully, name="stop", daemon=True)
            self._stopper.start()

    def _stop_gracefully(self) -> None:
        self._executor.terminate()
        over_at = time.monotonic() + self.job.grace
        while not self._executor.wait_gone(LOOK_SECONDS):
            if time.monotonic() >= min(over_at, self._cut_at):
                self._executor.kill()
                return

    # -- its setup ---------------------------------------------------------------------------------------------------

    def _set_up(self, setup: Setup) -> Ending | None:
        """None: the job has it. Raises Failure."""
        self._state.say("looking for its setup")
        if setup.find():
            self._state.update(setup=setup.told("used"))
            return None
        if not setup.answered:
            self._state.update(setup=setup.told("wanted"))
            self._wait_for(lambda: setup.answered)
            if setup.find():
                self._state.update(setup=setup.told("used"))
                return None
        ending = self._build(setup)
        if ending is None:
            self._state.update(setup=setup.told("built"))
            # it may have been stopped meanwhile
            self._wait_ready()
        return ending

    def _build(self, setup: Setup) -> Ending | None:
        job, self._executor = self._executor, setup.begin()
        try:
            self._executor.start(lambda found: self._commit({**found, SETUP: True}))
            ending = setup.finish(self._watch())
        finally:
            for warning in self._executor.clean():
                self._state.warn(warning)
            self._executor = job
            remove_tree(self._folder.setup.root)
        setup.tell_end(ending)
        return ending

    def _take_setup(self, setup: Setup, body: Body) -> None:
        """It only saves time: one that can't be used is built here."""
        if setup.answered or not setup.key:
            body.drain()
            return
        try:
            setup.take(body)
        except (Failure, OSError) as error:
            self._state.warn(str(error))
            setup.answered = True
            body.drain()
        with self._news:
            self._news.notify_all()

    # -- after a restart ---------------------------------------------------------------------------------------------

    def _resume(self, phase: str) -> Ending:
        try:
            if phase != "running":
                raise Failure("runner", LOST)
            found = self._state.saved["found"]
            if found.get(SETUP) and self._setup is not None:
                # half of a setup is worth nothing
                self._executor = self._setup.keep.builder()
            self._executor.adopt(found)
            if found.get(SETUP):
                raise Failure("runner", LOST)
        except Failure:
            self._executor.kill()
            raise
        return self._watch()

    # -- after the job -----------------------------------------------------------------------------------------------

    def _until_over(self, run: Callable[[], Ending]) -> None:
        try:
            ending = run()
        except Failure as failure:
            ending = Ending(None, failure.reason, failure.message)
        except Exception as error:  # noqa: BLE001 - it is the attempt's end, and said so
            ending = Ending(None, *bug(error).words)
        try:
            self._finish(ending)
        except Exception as error:  # noqa: BLE001 - the server must not wait for ever
            self._end(Ending(ending.exit_code, *bug(error).words), [])
        finally:
            self._over.set()

    def _finish(self, ending: Ending) -> None:
        for warning in self._executor.clean():
            self._state.warn(warning)
        self._spool.complete()
        shutil.rmtree(self._folder.git, ignore_errors=True)
        remove_tree(self._folder.setup.root)
        outputs = []
        if self._state["started_at"] is not None and self._asked != "aborted":
            self._state.say("looking at the outputs")
            outputs = outputs_of(self._folder, self.job, self._state.warn).describe()
        if self._asked == "aborted":
            outputs, ending = [], Ending(ending.exit_code, "aborted", MESSAGES["aborted"])
        self._end(ending, outputs)

    def _end(self, ending: Ending, outputs: list[dict[str, Any]]) -> None:
        """Tried until it is written down: a disk that is full now may have room later, and nobody else knows of the end."""
        self._spool.complete()
        ended_at = time.time()
        while True:
            try:
                self._state.update(
                    phase="uploading", exit_code=ending.exit_code, reason=ending.reason, message=ending.message,
                    outputs=outputs, log_complete=True, ended_at=ended_at,
                )  # fmt: skip
                return
            except OSError as error:
                if not self._folder.root.exists():
                    raise
                self._state.say(f"it has ended, and that can't be written down: {error.strerror}")
                time.sleep(END_RETRY_SECONDS)


def make_executor(folder: Folder, job: Job, spool: Spool, machine: Machine) -> tuple[Executor, Setup | None]:
    """With the job's setup, where it has one. Imported here: only one of them is needed, and http.client is slow to import."""
    if job.mode == "docker":
        from dstack_cloud.runner_bootstrap.payload.docker_executor import DockerExecutor

        container = DockerExecutor(folder, job, spool, machine)
        if not job.setup:
            return container, None
        from dstack_cloud.runner_bootstrap.payload.docker_setup import ImageKeep
        from dstack_cloud.runner_bootstrap.payload.setup import Setup

        return container, Setup(folder, job, spool, ImageKeep(container, folder, job, spool, machine))
    from dstack_cloud.runner_bootstrap.payload.process_executor import ProcessExecutor

    processes = ProcessExecutor(folder, job, spool)
    if not job.setup:
        return processes, None
    from dstack_cloud.runner_bootstrap.payload.process_setup import EnvironmentKeep
    from dstack_cloud.runner_bootstrap.payload.setup import Setup

    return processes, Setup(folder, job, spool, EnvironmentKeep(folder, job, spool, machine.setups))


def outputs_of(folder: Folder, job: Job, warn: Warn) -> Outputs:
    from dstack_cloud.runner_bootstrap.payload.outputs import Outputs

    return Outputs(folder, job, warn)


def bug(error: Exception) -> Failure:
    traceback.print_exception(error)
    return Failure("runner", f"the runner failed: {type(error).__name__}: {error}")

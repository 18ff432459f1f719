"""Couriers carry what a runner owes into the store, and what it needs to it, over the link.

One thread an instance. It writes only objects, never rows: a step reads the runner's last word from the store, just as it
does for a runner that reaches the store itself. A courier that dies loses nothing: the next one goes on where the store ends.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, replace

from dstack_cloud import errors
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.orchestrator.dispatch import CODE_INPUT, cache_name
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, RunnerState
from dstack_cloud.storage import artifacts, caches, code, layout, logs

log = logging.getLogger(__name__)

# the log is readable when nobody is attached at most this many seconds later, plus one put
LOG_FLUSH = 2.0
SETTLE = 0.2
# a tar archive ends with two blocks of zeros
EMPTY_TAR = bytes(1024)
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
# so many times is an error looked at again that a later try shouldn't mend
TRIES = 3
# how long a store that fails may hold up a job that waits for its inputs, or a machine that waits for its outputs to be
# saved, seconds: the first costs a machine that does nothing, the second would cost the job's results
PATIENCE = {"downloading": 300.0, "uploading": 1800.0}
REASONS = {"downloading": "input", "uploading": "output"}


class Trouble:
    """How long, and how often, the same phase has failed."""

    def __init__(self) -> None:
        self._phase = ""
        self._since = 0.0
        self._final = 0

    def hopeless(self, phase: str, error: Exception) -> bool:
        """Counts the error; whether it is time to give up."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._since, self._final = phase, now, 0
        retryable = isinstance(error, OSError) or (isinstance(error, errors.DstackError) and error.retryable)
        self._final += not retryable
        return self._final >= TRIES or now - self._since > PATIENCE[phase]


def _unreachable(error: Exception) -> bool:
    if isinstance(error, LinkError):
        return error.unreachable
    return isinstance(error, (errors.RunnerUnreachable, errors.SshError))


class Courier(threading.Thread):
    """Serves one instance until its job is collected or `stop` is called."""

    def __init__(self, world: World, instance: Instance, job: Job) -> None:
        super().__init__(name=f"courier-{instance.id}", daemon=True)
        self._world = world
        self._instance = instance
        self._job = job
        self._store = world.store_of(instance)
        self._place = layout.AttemptPlace(job.run_name, job.name, instance.attempt)
        self._log = logs.LogWriter(self._store, self._place)
        self._stored = 0
        self._flushed_at = 0.0
        self._recorded: RunnerState | None = None
        self._inputs_sent = False
        self._stopping = threading.Event()
        # by the monotonic clock, which stands still while the computer sleeps
        self._lost_at: float | None = None
        self._trouble = Trouble()

    @property
    def unreachable_for(self) -> float:
        """Seconds without an answer; 0.0 while the runner answers."""
        lost = self._lost_at
        return 0.0 if lost is None else max(time.monotonic() - lost, 0.001)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._serve()
                return
            except (LinkError, errors.DstackError, OSError) as error:
                if self._stopping.is_set() or self._settle(error):
                    return
            except Exception:
                # whatever it is, the job must not be left without its courier
                log.exception("courier of %s", self._instance.id)
            pause = FIRST_RETRY if time.monotonic() - began > LONGEST_RETRY else min(pause * 2, LONGEST_RETRY)
            self._stopping.wait(pause)

    def _settle(self, error: Exception) -> bool:
        """What an error means for the job; True where it was given up."""
        log.info("courier of %s: %s", self._instance.id, error)
        try:
            if not _unreachable(error):
                return self._give_up(error)
            if self._lost_at is None:
                self._lost_at = time.monotonic()
            self._world.links.forget(self._instance, keys=False)
            self._world.wake_instance(self._instance.id)
        except (errors.DstackError, OSError) as second:
            log.warning("courier of %s: %s", self._instance.id, second)
        return False

    def _give_up(self, error: Exception) -> bool:
        """Ends the job where trying again can't help: its machine must not wait for ever, and its user must learn why."""
        state = self._recorded
        if state is None or state.phase not in PATIENCE:
            # a running job goes on without us: its log waits on the machine
            return False
        if not self._trouble.hopeless(state.phase, error):
            return False
        message = error.summary if isinstance(error, errors.DstackError) else str(error)
        self._record(replace(state, phase="finished", seq=state.seq + 1, reason=REASONS[state.phase], message=message))
        return True

    def _serve(self) -> None:
        """Returns when there is nothing left to carry."""
        if self._is_over():
            return
        link = self._world.links.open(self._instance)
        self._stored = self._log.resume()
        sequence = -1
        while not self._stopping.is_set():
            state = link.state(after=sequence, wait=LOG_FLUSH)
            self._lost_at = None
            sequence = state.seq
            if state.phase == "idle":
                state = replace(state, phase="finished", reason="runner", message="it has lost the job")
            self._record(state)
            if state.phase == "downloading":
                self._send_inputs(link)
            self._carry_log(link, state)
            if state.phase == "uploading":
                self._collect(link, state)
            if state.phase in ("uploading", "finished"):
                return

    def _is_over(self) -> bool:
        """Whether the last word was recorded, by this courier or one before it: nothing may take it back."""
        if self._recorded is None:
            try:
                raw = json.loads(self._store.get(self._place.status))
            except errors.NotFound:
                return False
            return bool(raw["attempt"] == self._instance.id and raw["phase"] == "finished")
        return self._recorded.phase == "finished"

    def _record(self, state: RunnerState) -> None:
        """Objects first, then whoever waits for them is woken. How long the log is, the log says itself."""
        state = replace(state, log_size=0, attempt=self._instance.id)
        if state == self._recorded or self._stopping.is_set():
            return
        self._store.put(self._place.status, json.dumps(asdict(state)).encode())
        if self._recorded is None or self._recorded.phase != state.phase:
            self._store.create(layout.status(self._instance.id, state.seq, state.phase), b"")
        self._recorded = state
        self._world.wake_job(self._job.id)

    def _send_inputs(self, link: RunnerLink) -> None:
        """Side by side; each is answered when it is unpacked. Meanwhile the runner is asked whether it is still there."""
        if self._inputs_sent:
            return
        names = [CODE_INPUT] if self._job.code else []
        names += [cache_name(n) for n in range(len(self._job.spec.cache))]
        with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
            waiting = {pool.submit(self._send_input, link, name) for name in names}
            try:
                while waiting:
                    done, waiting = wait(waiting, LOG_FLUSH, FIRST_EXCEPTION)
                    for sent in done:
                        sent.result()
                    if waiting:
                        self._record(link.state())
            except BaseException:
                # breaks off what is still being sent, perhaps to a machine that is no more
                self._world.links.forget(self._instance, keys=False)
                raise
        self._inputs_sent = True

    def _send_input(self, link: RunnerLink, name: str) -> None:
        try:
            link.put_input(name, self._input(name))
        except errors.StoreDamaged as error:
            if name == CODE_INPUT:
                raise
            # a cache only saves time: the job goes without, and saves a good one
            log.warning("%s: %s", self._instance.id, error.summary)
            link.put_input(name, (EMPTY_TAR,))

    def _input(self, name: str) -> Iterator[bytes]:
        if name == CODE_INPUT and self._job.code:
            return code.read_code(self._store, self._job.code.sha256)
        saved = self._job.spec.cache[int(name.rpartition("-")[2])]
        restored = caches.restore_cache(self._store, self._job.spec.workflow, saved.path)
        return iter((EMPTY_TAR,)) if restored is None else restored

    def _carry_log(self, link: RunnerLink, state: RunnerState) -> None:
        now = time.monotonic()
        ended = state.phase in ("uploading", "finished")
        due = ended or now - self._flushed_at >= LOG_FLUSH - SETTLE
        if state.log_size <= self._stored or not due:
            return
        self._flushed_at = now
        for data in link.log(self._stored):
            self._log.append(self._stored, data, int(self._world.clock() * 1000))
            self._stored += len(data)

    def _collect(self, link: RunnerLink, state: RunnerState) -> None:
        """Artifacts and caches are whole in the store before the last word is; only then may the runner go."""
        for output in state.outputs:
            name = str(output["name"])
            if name == "artifacts":
                manifest = artifacts.save_artifacts(self._store, self._place, link.output(name))
                artifacts.publish(self._store, layout.JobPlace(self._job.run_name, self._job.name), manifest)
            elif output.get("changed", True):
                caches.save_cache(self._store, self._job.spec.workflow, str(output["path"]), link.output(name))
        self._log.join(link.log_times())
        # what couldn't be read was noticed only while it was collected
        self._record(replace(state, phase="finished", seq=state.seq + 1, warnings=link.state().warnings))
        link.collected()


class Couriers:
    """The couriers of this server process, one an instance at most."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._couriers: dict[str, Courier] = {}

    def ensure(self, instance: Instance, job: Job) -> None:
        """Starts one where none is at work."""
        with self._lock:
            courier = self._couriers.get(instance.id)
            if courier is None or not courier.is_alive():
                courier = Courier(self._world, instance, job)
                self._couriers[instance.id] = courier
                courier.start()

    def stop(self, instance_id: str) -> None:
        with self._lock:
            courier = self._couriers.pop(instance_id, None)
        if courier is not None:
            courier.stop()

    def unreachable_for(self, instance_id: str) -> float:
        with self._lock:
            courier = self._couriers.get(instance_id)
        return 0.0 if courier is None else courier.unreachable_for

    def shutdown(self) -> None:
        """Stops all; what they carried so far stays, and the next server goes on from there."""
        with self._lock:
            couriers = list(self._couriers.values())
        for courier in couriers:
            courier.stop()

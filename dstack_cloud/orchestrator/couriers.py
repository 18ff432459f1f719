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
from concurrent.futures import ThreadPoolExecutor
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


class Courier(threading.Thread):
    """Serves one instance until its job is collected or `stop` is called."""

    def __init__(self, world: World, instance: Instance, job: Job) -> None:
        super().__init__(name=f"courier-{instance.id}", daemon=True)
        self._world = world
        self._instance = instance
        self._job = job
        self._store = world.stores[instance.project]
        self._place = layout.AttemptPlace(job.run_name, job.name, instance.attempt)
        self._log = logs.LogWriter(self._store, self._place)
        self._stored = 0
        self._flushed_at = 0.0
        self._recorded: RunnerState | None = None
        self._inputs_sent = False
        self._stopping = threading.Event()
        self._lost_at: float | None = None

    @property
    def unreachable_for(self) -> float:
        """Seconds without an answer; 0.0 while the runner answers."""
        lost = self._lost_at
        return 0.0 if lost is None else max(self._world.clock() - lost, 0.001)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        wait = 0.1
        while not self._stopping.is_set():
            try:
                if self._serve():
                    return
                wait = 0.1
            except (LinkError, errors.DstackError, OSError) as error:
                if self._stopping.is_set():
                    return
                self._note(error)
                self._stopping.wait(wait)
                wait = min(wait * 2, 5.0)

    def _note(self, error: Exception) -> None:
        log.info("courier of %s: %s", self._instance.id, error)
        unreachable = isinstance(error, (errors.RunnerUnreachable, errors.SshError)) or (
            isinstance(error, LinkError) and error.unreachable
        )
        if unreachable and self._lost_at is None:
            self._lost_at = self._world.clock()
        if unreachable:
            self._world.links.forget(self._instance, keys=False)
            self._world.wake_instance(self._instance.id)

    def _serve(self) -> bool:
        """True when there is nothing left to carry."""
        link = self._world.links.open(self._instance)
        self._stored = self._log.resume()
        sequence = -1
        while not self._stopping.is_set():
            state = link.state(after=sequence, wait=LOG_FLUSH)
            self._lost_at = None
            sequence = state.seq
            self._record(state)
            if state.phase == "downloading":
                self._send_inputs(link)
            self._carry_log(link, state)
            if state.phase == "uploading":
                self._collect(link, state)
                return True
            if state.phase in ("finished", "idle"):
                return state.phase == "finished"
        return True

    def _record(self, state: RunnerState) -> None:
        if state == self._recorded:
            return
        self._store.put(self._place.status, json.dumps(asdict(state)).encode())
        if self._recorded is None or self._recorded.phase != state.phase:
            self._store.create(layout.status(self._instance.id, state.seq, state.phase), b"")
        self._recorded = state
        self._world.wake_job(self._job.id)

    def _send_inputs(self, link: RunnerLink) -> None:
        """Side by side; each is answered when it is unpacked."""
        if self._inputs_sent:
            return
        names = [CODE_INPUT] if self._job.code else []
        names += [cache_name(n) for n in range(len(self._job.spec.cache))]
        with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
            for result in [pool.submit(link.put_input, name, self._input(name)) for name in names]:
                result.result()
        self._inputs_sent = True

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
        self._record(replace(state, phase="finished", seq=state.seq + 1))
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

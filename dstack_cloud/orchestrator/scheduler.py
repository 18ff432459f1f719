"""The database is the queue: a dispatcher hands due rows to a pool of threads, each step small, each row leased."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.orchestrator import instances, jobs
from dstack_cloud.orchestrator.couriers import Couriers
from dstack_cloud.orchestrator.reap import reap
from dstack_cloud.orchestrator.world import World

log = logging.getLogger(__name__)

WORKERS = 16


class Scheduler:
    """`start` begins; `wake` makes it look at once; `stop` waits for the steps under way."""

    def __init__(self, world: World) -> None:
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.world = replace(world, wake=self.wake)
        self.couriers = Couriers(self.world)
        self._condition = threading.Condition()
        self._woken = True
        self._stopping = False
        self._free = WORKERS
        self._pool = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="step")
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)
        self._reap_at = 0.0

    def start(self) -> None:
        """Looks first at everything that the server before this one may have left in the middle."""
        for job in self.world.database.jobs.unfinished():
            self.world.database.jobs.wake(job.id, now=self.world.clock())
        for instance in self.world.database.instances.alive():
            self.world.database.instances.wake(instance.id, now=self.world.clock())
        self._thread.start()

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._thread.join()
        self._pool.shutdown(wait=True)
        self.couriers.shutdown()

    def _loop(self) -> None:
        while True:
            with self._condition:
                if not self._woken and not self._stopping:
                    self._condition.wait(self._idle_seconds())
                if self._stopping:
                    return
                self._woken = False
                free = self._free
            if free:
                self._hand_out(free)

    def _idle_seconds(self) -> float:
        due = self.world.database.next_due()
        now = self.world.clock()
        ends = [now + self.world.timing.poll, self._reap_at] + ([due] if due is not None else [])
        return min(max(min(ends) - now, 0.005), self.world.timing.poll)

    def _hand_out(self, free: int) -> None:
        now, lease = self.world.clock(), self.world.timing.lease
        machines = self.world.database.instances.claim(self.owner, now=now, lease=lease, limit=free)
        for instance in machines:
            self._submit(self._instance_step, instance)
        if free > len(machines):
            for job in self.world.database.jobs.claim(self.owner, now=now, lease=lease, limit=free - len(machines)):
                self._submit(self._job_step, job)
        if now >= self._reap_at:
            self._reap_at = now + self.world.timing.reap
            self._submit(self._reap_step, None)

    def _reap_step(self, _: None) -> None:
        reap(self.world)

    def _submit(self, step: Callable[..., None], row: object) -> None:
        with self._condition:
            self._free -= 1
        self._pool.submit(self._run, step, row)

    def _run(self, step: Callable[..., None], row: object) -> None:
        try:
            step(row)
        except Stale:
            log.debug("a row changed under a step; it is looked at again")
        except errors.DstackError as error:
            log.warning("%s: %s", error.code, error.summary)
            self._postpone(row)
        except Exception:
            # one row's bug must not end the loop for all
            log.exception("a step failed")
            self._postpone(row)
        finally:
            with self._condition:
                self._free += 1
                self._woken = True
                self._condition.notify_all()

    def _postpone(self, row: object) -> None:
        """A step that failed is taken again in a while, not at once."""
        seconds = self.world.timing.longest_retry
        try:
            if isinstance(row, Job):
                self.world.save_job(row, next_check_in=seconds)
            elif isinstance(row, Instance):
                self.world.save_instance(row, next_check_in=seconds)
        except (Stale, errors.DstackError) as error:
            log.warning("a row couldn't be postponed: %s", error)

    def _job_step(self, job: Job) -> None:
        jobs.step(self.world, job)

    def _instance_step(self, instance: Instance) -> None:
        instances.step(self.world, self.couriers, instance)

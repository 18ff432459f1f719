"""The database is the queue: a dispatcher hands due rows to a pool of threads, each step small, each row leased."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.orchestrator import instances, jobs
from dstack_cloud.orchestrator.couriers import Couriers
from dstack_cloud.orchestrator.reap import reap
from dstack_cloud.orchestrator.workers import Workers
from dstack_cloud.orchestrator.world import World

log = logging.getLogger(__name__)

# most of what a step does is to wait for a cloud or a machine
WORKERS = 32
# steps of machines may all wait for the pace that a cloud bears: jobs, and what else is new, don't wait with them
FOR_JOBS = 8
# how long steps under way may take when the server ends. They may be cut anywhere: the next server takes them again
STOP_SECONDS = 3.0
# how long a database that fails is left alone
BROKEN_SECONDS = 2.0
# between two looks while most workers are busy
CROWDED_SECONDS = 0.25
# what a time server may correct without anyone noticing, seconds
CLOCK_SET_BACK = 5.0
# what lies between two looks at the clock of a server that is awake, beyond the longest poll
ASLEEP = 30.0


class Scheduler:
    """`start` begins; `wake` makes it look at once; `stop` waits a little for the steps under way."""

    def __init__(self, world: World) -> None:
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.world = replace(world, wake=self.wake)
        self.couriers = Couriers(self.world)
        self._condition = threading.Condition()
        self._woken = True
        self._stopping = False
        self._free = WORKERS
        self._workers = Workers(WORKERS, "step")
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)
        self._reap_at = 0.0
        self._looked_at = 0.0
        self._crowded = False

    def start(self) -> None:
        """Looks first at everything that the server before this one may have left in the middle."""
        self.world.awake.since = self._looked_at = self.world.clock()
        self._wake_all()
        self._thread.start()

    def _wake_all(self) -> None:
        for job in self.world.database.jobs.unfinished():
            self.world.database.jobs.wake(job.id, now=self.world.clock())
        for instance in self.world.database.instances.alive():
            self.world.database.instances.wake(instance.id, now=self.world.clock())

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        deadline = time.monotonic() + STOP_SECONDS
        self._thread.join(STOP_SECONDS)
        self._workers.stop(max(deadline - time.monotonic(), 0.0))
        self.couriers.shutdown()

    def _loop(self) -> None:
        idle = 0.0
        while (free := self._next_turn(idle)) is not None:
            if not free:
                # whoever is free first says so
                idle = self.world.timing.poll
                continue
            try:
                self._look_at_clock()
                self._hand_out(free)
                idle = self._idle_seconds()
            except errors.DstackError as error:
                log.warning("%s: %s", error.code, error.summary)
                idle = BROKEN_SECONDS
            except Exception:
                # without this thread nothing would ever be looked at again
                log.exception("the queue can't be read")
                idle = BROKEN_SECONDS

    def _next_turn(self, idle: float) -> int | None:
        """After `idle` seconds, or as soon as it is woken and a worker is free: how many are. None: it is time to stop."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or (self._woken and self._free > 0), idle)
            if self._stopping:
                return None
            if self._free > 0:
                self._woken = False
            return max(self._free, 0)

    def _idle_seconds(self) -> float:
        if self._crowded:
            # what is due may have to wait for a worker, who says when it is free
            return CROWDED_SECONDS
        due = self.world.database.next_due()
        now = self.world.clock()
        ends = [now + self.world.timing.poll, self._reap_at] + ([due] if due is not None else [])
        return min(max(min(ends) - now, 0.005), self.world.timing.poll)

    def _look_at_clock(self) -> None:
        """Rows that wait for a time which is now far ahead, because the computer's clock was set back, are due. After a sleep
        no machine is blamed for what it seems not to have done meanwhile."""
        now, before = self.world.clock(), self._looked_at
        self._looked_at = now
        if now < before - CLOCK_SET_BACK:
            log.warning("the clock was set back by %.0f s", before - now)
            self._reap_at = now
            self.world.awake.since = now
            self._wake_all()
        elif now > before + self.world.timing.poll + ASLEEP:
            log.info("asleep for %.0f s", now - before)
            self.world.awake.since = now

    def _hand_out(self, free: int) -> None:
        now, lease = self.world.clock(), self.world.timing.lease
        self._crowded = free <= FOR_JOBS
        machines = self.world.database.instances.claim(self.owner, now=now, lease=lease, limit=free - FOR_JOBS)
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
        self._workers.submit(lambda: self._run(step, row))

    def _run(self, step: Callable[..., None], row: object) -> None:
        try:
            step(row)
        except Stale as stale:
            log.debug("a row changed under a step; it is looked at again")
            self._give_back(row, stale)
        except errors.DstackError as error:
            log.warning("%s: %s", error.code, error.summary)
            self._postpone(row, error.summary)
        except Exception as error:
            # one row's bug must not end the loop for all
            log.exception("a step failed")
            self._postpone(row, f"{type(error).__name__}: {error}")
        finally:
            with self._condition:
                self._free += 1
                self._woken = True
                self._condition.notify_all()

    def _give_back(self, row: object, stale: Stale) -> None:
        """Where it was another row that had changed, this one is still leased: it is looked at again at once."""
        if not isinstance(row, (Job, Instance)) or stale.row_id == row.id:
            return
        rows = self.world.database.jobs if isinstance(row, Job) else self.world.database.instances
        try:
            if (fresh := rows.get(row.id)) is not None:
                rows.save(replace(fresh, next_check_at=self.world.clock()))  # type: ignore[arg-type]  # of the same kind
        except Stale:
            pass  # refused, and given back nevertheless
        except errors.DstackError as error:
            log.warning("a row stays leased for a while: %s", error.summary)

    def _postpone(self, row: object, why: str) -> None:
        """A step that failed is taken again in a while, not at once; the row says why. Where the database is what failed,
        it is told as soon as it answers, or the row would stay leased."""
        while True:
            try:
                self._save_postponed(row, why)
                return
            except Stale:
                return
            except errors.DstackError as error:
                log.warning("a row couldn't be postponed: %s", error.summary)
            with self._condition:
                if self._condition.wait_for(lambda: self._stopping, BROKEN_SECONDS):
                    return

    def _save_postponed(self, row: object, why: str) -> None:
        seconds = self.world.timing.longest_retry
        if isinstance(row, Job):
            self.world.save_job(replace(row, message=why), next_check_in=seconds)
        elif isinstance(row, Instance):
            # one that came up or is going keeps the reason that it has
            coming = row.status in (InstanceStatus.REQUESTED, InstanceStatus.STARTING)
            self.world.save_instance(replace(row, wrong=why if coming else row.wrong), next_check_in=seconds)

    def _job_step(self, job: Job) -> None:
        jobs.step(self.world, job)

    def _instance_step(self, instance: Instance) -> None:
        instances.step(self.world, self.couriers, instance)

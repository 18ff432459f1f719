"""How a server follows a runner whose machine carries its objects by itself."""

from __future__ import annotations

import logging
import threading
import time

from dstack_cloud import errors
from dstack_cloud.courier.carrier import FIRST_RETRY, LONGEST_RETRY
from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.domain.runs import Instance
from dstack_cloud.orchestrator.errands import machine_store
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink

log = logging.getLogger(__name__)

WATCH_SECONDS = 30.0
# after a change the store's news may be a little late: the step is woken again after so many seconds each
ECHOES = (0.1, 0.2, 0.4, 0.8, 1.6)
# lent credentials are replaced so often, seconds: no cloud's are good for less than twice as long
RENEW_SECONDS = 1800.0
# where none could be had, e.g. because the server's own login has expired, it is tried again
RENEW_RETRY = 30.0


class ServerRoad:
    """A carrier's way to the runner from here, and the steps that wait for what it brings."""

    def __init__(self, world: World, instance: Instance) -> None:
        self._world = world
        self._instance = instance

    def open(self) -> RunnerLink:
        return self._world.links.open(self._instance)

    def forget(self) -> None:
        self._world.links.forget(self._instance, keys=False)

    def lost(self) -> None:
        self._world.wake_instance(self._instance.id)

    def recorded(self) -> None:
        self._world.wake_job(self._instance.job_id)


class Watch:
    """Wakes the steps when there is news, until `stop`."""

    def __init__(self, world: World, instance: Instance, errand: Errand) -> None:
        self._world = world
        self._instance = instance
        self._errand = errand
        self._road = ServerRoad(world, instance)
        self._stopping = threading.Event()
        self._lost_at: float | None = None
        # at once: a server before this one may have been away for long
        self._renew_at: float | None = time.monotonic()

    @property
    def unreachable_for(self) -> float:
        """Seconds without an answer; 0.0 while the runner answers."""
        lost = self._lost_at
        return 0.0 if lost is None else max(time.monotonic() - lost, 0.001)

    def stop(self) -> None:
        self._stopping.set()

    def sent(self, store: MachineStore | None) -> None:
        """The machine was reached, and has its courier where there is a store for it."""
        self._lost_at = None
        lent = store is not None and store.credentials is not None
        self._renew_at = time.monotonic() + RENEW_SECONDS if lent else None

    def run(self) -> None:
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self._follow()
                pause = FIRST_RETRY
            except (LinkError, errors.DstackError, OSError) as error:
                self.note_loss(error)
                pause = min(pause * 2, LONGEST_RETRY)
            except Exception:
                # whatever it is, the machine must not go unwatched
                log.exception("watch of %s", self._instance.id)
                pause = LONGEST_RETRY
            self._stopping.wait(pause)

    def note_loss(self, error: Exception) -> None:
        log.info("%s: %s", self._instance.id, error)
        try:
            self._road.forget()
            if self._lost_at is None:
                self._lost_at = time.monotonic()
                # a reboot has lost what was kept on no disk
                self._renew_at = self._lost_at
                # it may have ended because all is done
                self._road.recorded()
            self._road.lost()
        except (errors.DstackError, OSError) as second:
            log.warning("%s: %s", self._instance.id, second)

    def _follow(self) -> None:
        link = self._road.open()
        sequence, echoes = -1, list(ECHOES)
        while not self._stopping.is_set():
            state = link.state(after=sequence, wait=echoes.pop(0) if echoes else WATCH_SECONDS)
            self._lost_at = None
            if state.seq != sequence:
                sequence, echoes = state.seq, list(ECHOES)
            self._road.recorded()
            if state.phase != "finished":
                self._renew()

    def _renew(self) -> None:
        if self._renew_at is None or time.monotonic() < self._renew_at:
            return
        store = self._lent()
        if store is None:
            # who carries is settled: a server that took over now would meet the machine's own courier
            self._renew_at = time.monotonic() + RENEW_RETRY
            return
        self._world.links.send_courier(self._instance, self._errand, store)
        self.sent(store)

    def _lent(self) -> MachineStore | None:
        """None where there is nothing to be had now; that says nothing about the machine."""
        try:
            return machine_store(self._world, self._instance, self._errand)
        except errors.DstackError as error:
            log.warning("%s: %s", self._instance.id, error.summary)
            return None

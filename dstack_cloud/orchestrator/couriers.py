"""Couriers see to it that what a runner owes gets into the store, and what it needs to it.

One thread an instance. Either it carries over the link itself, or the machine does, and it watches: it wakes the steps when there
is news. It writes only objects, never rows: a step reads the runner's last word from the store, whoever put it there.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal

from dstack_cloud import errors
from dstack_cloud.courier.carrier import FIRST_RETRY, LONGEST_RETRY, Carrier
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.orchestrator.errands import errand_of, machine_store
from dstack_cloud.orchestrator.watch import ServerRoad, Watch
from dstack_cloud.orchestrator.world import World

log = logging.getLogger(__name__)


class Courier(threading.Thread):
    """Serves one instance until its job is collected or `stop` is called."""

    def __init__(self, world: World, instance: Instance, job: Job) -> None:
        super().__init__(name=f"courier-{instance.id}", daemon=True)
        self._world = world
        self._instance = instance
        self._errand = errand_of(instance, job)
        self._carrier = Carrier(world.store_of(instance), ServerRoad(world, instance), self._errand)
        # also while it isn't settled yet who carries
        self._watch = Watch(world, instance, self._errand)
        self._stopping = threading.Event()

    @property
    def unreachable_for(self) -> float:
        """Seconds without an answer; 0.0 while the runner answers."""
        return self._carrier.unreachable_for or self._watch.unreachable_for

    @property
    def given_up(self) -> str:
        """Why it ended although the store has no last word."""
        return self._carrier.given_up

    def stop(self) -> None:
        self._stopping.set()
        self._carrier.stop()
        self._watch.stop()

    def run(self) -> None:
        carrier = self._world.links.carrier_of(self._instance) or self._choose()
        if carrier == "machine":
            self._watch.run()
        elif carrier == "server":
            self._carrier.run()

    def _choose(self) -> Literal["", "machine", "server"]:
        """Who carries, once that is settled; "" where it was stopped before."""
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                store = machine_store(self._world, self._instance, self._errand)
                there = self._world.links.send_courier(self._instance, self._errand, store)
            except (errors.RunnerUnreachable, errors.SshError) as error:
                self._watch.note_loss(error)
            except (errors.DstackError, OSError) as error:
                log.warning("the server carries for %s: %s", self._instance.id, error)
                self._world.links.send_courier(self._instance, self._errand, None)
                return "server"
            else:
                self._watch.sent(store)
                return "machine" if there else "server"
            pause = min(pause * 2, LONGEST_RETRY)
            self._stopping.wait(pause)
        return ""


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
            if courier is None or not (courier.is_alive() or courier.given_up):
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

    def given_up(self, instance_id: str) -> str:
        """Why nothing more can be saved of it; "" where that isn't so."""
        with self._lock:
            courier = self._couriers.get(instance_id)
        return "" if courier is None else courier.given_up

    def shutdown(self) -> None:
        """Stops all; what they carried so far stays, and the next server goes on from there."""
        with self._lock:
            couriers = list(self._couriers.values())
        for courier in couriers:
            courier.stop()

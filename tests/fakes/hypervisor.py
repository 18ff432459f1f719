"""Sandbox machines as the bodies of an emulated cloud's instances: same user data, same end, same metadata service.

Everything that is made in Docker carries the cloud's label, and goes when the cloud's process does.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from dstack_cloud.backends.base import Fault, Health, Launch, Observed
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.errors import Missing
from dstack_cloud.backends.sandbox.resources import network
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, NotFound
from tests.fakes.bodies import Birth, Cloud

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# the ending of a sandbox machine's container, in the words of its backend
POWERED_OFF, REBOOTED = "it powered itself off", "it rebooted"


class Hypervisor:
    """A context; satisfies `bodies.Machines`. `address` is this computer's on a network of its own: machines reach it, too."""

    def __init__(self, cloud: Cloud, home: Path, label: str) -> None:
        self._cloud, self._front = cloud, f"{label}-front"
        self._client, config = DockerClient(), SandboxConfig()
        self._backend = SandboxBackend(config, home, label)
        self.address = network.ensure(self._client, config, self._front).gateway
        self._offer = self._backend.offers(Requirements())[0]
        self._lock = threading.Lock()
        # ids of instances: those with a body, those whose end was announced or has begun
        self._alive: set[str] = set()
        self._doomed: set[str] = set()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(8, "emulated-machine")
        self._watch = threading.Thread(target=self._keep_watch, name="emulated-watch", daemon=True)

    def __enter__(self) -> Hypervisor:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watch.join()
        self._pool.shutdown(cancel_futures=True)
        self._backend.terminate([owned.ref for owned in self._backend.list_owned()])
        self._backend.close()
        network.remove(self._client, self._front)

    def boot(self, birth: Birth) -> None:
        self._pool.submit(self._boot, birth)

    def announce(self, id: str, seconds: float) -> None:
        with self._lock:
            self._doomed.add(id)
        try:
            self._backend.inflict(_ref(id), Fault.INTERRUPT, seconds)
        except NotFound:
            pass  # it hasn't begun to boot: nobody is there to be told

    def soft_off(self, id: str) -> None:
        self._pool.submit(self._soft_off, id)

    def end(self, id: str, *, abruptly: bool = False) -> None:
        with self._lock:
            self._doomed.add(id)
        if abruptly:
            try:
                self._backend.inflict(_ref(id), Fault.KILL)
            except NotFound:
                pass
        else:
            self._pool.submit(self._end, id)

    def _boot(self, birth: Birth) -> None:
        ref = _ref(birth.id)
        self._publish(birth, "")
        try:
            self._backend.create(Launch(birth.id, self._offer_of(birth), birth.user_data))
            with self._lock:
                doomed = birth.id in self._doomed
                self._alive |= set() if doomed else {birth.id}
            if doomed:
                self._backend.terminate([ref])  # its end came before its beginning
                return
            while not (seen := self._backend.inspect([ref])[ref]).endpoint and seen.health is not Health.GONE:
                time.sleep(LOOK_SECONDS)
            address = seen.endpoint.rpartition("@")[2].rpartition(":")[0]
            self._publish(birth, address)
            self._cloud.running(birth.id, address)
        except BackendError as wrong:
            log.warning("%s doesn't boot: %s", birth.id, wrong)
            self._cloud.broken(birth.id)
        except LookupError:
            pass  # the cloud was reset meanwhile, which ends it

    def _publish(self, birth: Birth, address: str) -> None:
        for path, text in self._cloud.documents(birth, address).items():
            self._backend.residents.publish(_ref(birth.id), path, text.encode())

    def _offer_of(self, birth: Birth) -> Offer:
        place = {"region": birth.region, "zone": birth.zone, "instance_type": birth.type, "spot": birth.spot}
        return self._offer.model_copy(update=place)

    def _soft_off(self, id: str) -> None:
        try:
            self._client.execute(_ref(id), "systemctl poweroff --no-block")
        except BackendError as wrong:
            log.info("%s isn't told to shut down: %s", id, wrong)

    def _end(self, id: str) -> None:
        with self._lock:
            self._alive.discard(id)
        self._backend.terminate([_ref(id)])
        try:
            self._cloud.gone(id)
        except LookupError:
            pass  # the cloud was reset meanwhile

    def _keep_watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            with self._lock:
                refs = {_ref(id): id for id in self._alive - self._doomed}
            try:
                for ref, seen in self._backend.inspect(list(refs)).items() if refs else ():
                    if seen.health is Health.GONE:
                        self._fell(refs[ref], seen)
            except BackendError as wrong:
                log.warning("the engine doesn't tell of its machines: %s", wrong)

    def _fell(self, id: str, seen: Observed) -> None:
        try:
            if seen.detail == REBOOTED:
                self._client.call("POST", f"/containers/{seen.ref}/start")
                return
            with self._lock:
                self._alive.discard(id)
            if seen.detail == POWERED_OFF:
                self._cloud.stopped_itself(id)
            else:
                self._cloud.died(id)
        except (LookupError, Missing):
            pass  # its end was asked for at this moment


def _ref(id: str) -> str:
    return f"dstack-{id}"

"""A machine of the sandbox, a server's couriers for it, and an S3 server that both reach."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base import Launch
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import network
from dstack_cloud.db import open_database
from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.jobs import Confidential, JobSpec, SavedPath
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.domain.runs import Instance, Job, Run
from dstack_cloud.domain.secrets import Secret
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.errors import HostKeyMismatch, RunnerUnreachable, SshError
from dstack_cloud.orchestrator.couriers import Courier
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.orchestrator.links import RunnerLinks
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage.layout import AttemptPlace
from dstack_cloud.storage.logs import LogReader
from dstack_cloud.storage.store import ObjectStore, open_store
from tests.fakes.seaweed import KEY, SECRET, Seaweed

PATIENCE = 120.0
ATTEMPT = "shady-1-0000000001"
PLACE = AttemptPlace("shady-1", "train", 1)
LENT = {"access_key_id": KEY, "secret_access_key": SECRET}


@dataclass
class Lender:
    """Satisfies `base.access.StoreAccess`: the same keys for everybody, or others."""

    url: str
    options: Mapping[str, str]
    lent: Mapping[str, str] | None
    foreign: bool = False

    def credentials(self) -> Mapping[str, object]:
        return LENT

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        return self.lent


class Sealed:
    def open(self, sealed: bytes) -> Confidential:
        return Confidential()

    def open_secret(self, secret: Secret | Credential) -> str:
        return secret.sealed.decode()

    def keyed(self, data: bytes) -> str:
        return data.hex()


class Carried:
    """One server with one machine that is up. `lender` is what machines get of the store."""

    def __init__(self, home: Path, weed: Seaweed, url: str) -> None:
        self.home = home
        self.store: ObjectStore = open_store(url, options=weed.options())
        self.installation = f"test-{uuid.uuid4().hex[:12]}"
        self.backend = SandboxBackend(SandboxConfig(), home, self.installation)
        self.lender = Lender(
            url, {"endpoint": weed.url, "region": weed.options()["region"], "allow_http": "true"}, LENT
        )
        self.database = open_database(f"sqlite:///{home / 'c.db'}")
        self.links = RunnerLinks(KeyStore(home / "keys"), lambda instance: self.backend)
        self.world = World(
            clock=time.time, database=self.database, stores={"main": self.store}, links=self.links, unsealer=Sealed(),
            backends={"main": {"sandbox": self.backend}}, installation="c", access={"main": self.lender},
        )  # fmt: skip
        (offer,) = self.backend.offers(Requirements())
        self.instance = Instance(ATTEMPT, "main", "shady-1.train", "shady-1", 1, offer, InstanceStatus.BUSY)
        self.couriers: list[Courier] = []

    def boot(self) -> None:
        data = self.links.prepare(self.instance)
        ref = self.backend.create(Launch(key=uuid.uuid4().hex, offer=self.instance.offer, user_data=data))
        endpoint = self.backend.inspect([ref])[ref].endpoint
        self.instance = replace(self.instance, ref=ref, endpoint=endpoint, started_at=time.time())

    def gateway(self) -> str:
        """This computer's address, as the machine sees it."""
        made = network.find(DockerClient(), self.installation)
        assert made is not None
        return made.gateway

    def hand_over(self, *commands: str, **spec: Any) -> Job:
        """As an instance's step does it, as soon as the machine answers."""
        job_spec = JobSpec(workflow="train", provider="bash", commands=commands, **spec)
        job = Job(
            "shady-1.train", "r", "main", "shady-1", "train", job_spec,
            status=JobStatus.PROVISIONING, instance_id=ATTEMPT, attempt=1, next_check_at=None,
        )  # fmt: skip
        self.database.runs.add(Run("r", "main", "shady-1", "train", None))
        self.database.jobs.add(job)
        self.database.instances.add(self.instance)
        link = until_answered(lambda: self.links.open(self.instance))
        link.submit(runner_job(self.world, self.instance, job, self.backend.capabilities))
        return job

    def send_courier(self, job: Job) -> Courier:
        courier = Courier(self.world, self.instance, job)
        self.couriers.append(courier)
        courier.start()
        return courier

    def status(self) -> dict[str, Any]:
        return json.loads(self.store.get(PLACE.status)) if self.store.exists(PLACE.status) else {}

    def log(self) -> bytes:
        return b"".join(LogReader(self.store, PLACE).read())

    def close(self) -> None:
        for courier in self.couriers:
            courier.stop()
        self.links.forget(self.instance, keys=False)
        for courier in self.couriers:
            courier.join(PATIENCE)
        if self.instance.ref:
            self.backend.terminate([self.instance.ref])
        self.backend.close()
        self.database.close()


def until_answered(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except HostKeyMismatch:
            raise
        except (SshError, RunnerUnreachable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def saved(*paths: str) -> tuple[SavedPath, ...]:
    return tuple(SavedPath(path=path) for path in paths)

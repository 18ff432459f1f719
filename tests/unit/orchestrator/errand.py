"""A courier at work: a real runner on a socket, a real database, a store in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from dstack_cloud.backends.base import Capabilities
from dstack_cloud.db import open_database
from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.jobs import Confidential, JobSpec, SavedPath
from dstack_cloud.domain.resources import Machine, Offer
from dstack_cloud.domain.runs import CodeRef, Instance, Job, Run
from dstack_cloud.domain.secrets import Secret
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.orchestrator.couriers import Courier
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.orchestrator.links import RunnerLinks
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import code, layout
from dstack_cloud.storage.logs import LogReader
from dstack_cloud.storage.packing import packed
from tests.fakes.failing_store import FailingStore
from tests.unit.runner.rig import PATIENCE, Rig, tar_of

ATTEMPT = "shady-1-0000000001"
PLACE = layout.AttemptPlace("shady-1", "train", 1)
OFFER = Offer(backend="local", region="r", instance_type="t", machine=Machine(cpu=1, memory=1), price=0.0)


class Open:
    def open(self, sealed: bytes) -> Confidential:
        return Confidential()

    def open_secret(self, secret: Secret | Credential) -> str:
        return secret.sealed.decode()

    def keyed(self, data: bytes) -> str:
        return data.hex()


class Errand:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.store = FailingStore()
        self.database = open_database(f"sqlite:///{rig.base / 'e.db'}")
        self.links = RunnerLinks(KeyStore(rig.base / "keys"))
        self.world = World(
            clock=time.time,
            database=self.database,
            stores={"main": self.store},
            backends={},
            links=self.links,
            unsealer=Open(),
            installation="e",
        )
        self.couriers: list[Courier] = []
        self.instance = Instance(
            ATTEMPT, "main", "shady-1.train", "shady-1", 1, OFFER, InstanceStatus.BUSY, endpoint=f"unix:{rig.socket}"
        )

    def hand_over(self, *commands: str, code_ref: CodeRef | None = None, **spec: Any) -> Job:
        """The rows as they are when the runner has just got its job."""
        job_spec = JobSpec(workflow="train", provider="bash", commands=commands, **spec)
        self.job = Job(
            "shady-1.train", "r", "main", "shady-1", "train", job_spec, code_ref,
            status=JobStatus.PROVISIONING, instance_id=ATTEMPT, attempt=1, next_check_at=None,
        )  # fmt: skip
        self.database.runs.add(Run("r", "main", "shady-1", "train", code_ref))
        self.database.jobs.add(self.job)
        self.database.instances.add(self.instance)
        capabilities = Capabilities(containers=False, default_image=None, remote=False)
        self.links.open(self.instance).submit(runner_job(self.world, self.instance, self.job, capabilities))
        return self.job

    def send_courier(self) -> Courier:
        courier = Courier(self.world, self.instance, self.job)
        self.couriers.append(courier)
        courier.start()
        return courier

    def save_code(self, files: dict[str, bytes]) -> CodeRef:
        digest = "ab" * 32
        code.save_code(self.store, digest, packed([tar_of(files)]))
        return CodeRef(digest, 1, len(files))

    def status(self) -> dict[str, Any]:
        """The runner's last word in the store; {} while there is none."""
        return json.loads(self.store.get(PLACE.status)) if self.store.exists(PLACE.status) else {}

    def wait_for(self, phase: str) -> dict[str, Any]:
        wait_until(lambda: self.status().get("phase") == phase, phase)
        return self.status()

    def log(self) -> bytes:
        return b"".join(LogReader(self.store, PLACE).read())

    def close(self) -> None:
        for courier in self.couriers:
            courier.stop()
        self.links.forget(self.instance, keys=True)
        for courier in self.couriers:
            courier.join(PATIENCE)
        self.database.close()


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def saved(*paths: str) -> tuple[SavedPath, ...]:
    return tuple(SavedPath(path=path) for path in paths)

"""Services over a real database and a store in memory; nobody places the jobs."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from dstack_cloud.api import schemas
from dstack_cloud.domain.configuration import ProjectSettings
from dstack_cloud.domain.resources import Machine, Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, JobStatus
from dstack_cloud.orchestrator.world import World
from dstack_cloud.services import runs
from dstack_cloud.services.configuration_file import ConfigurationFile
from dstack_cloud.services.context import Context
from dstack_cloud.services.sealing import load_sealer
from tests.fakes.failing_store import FailingStore
from tests.fakes.simulation import Chance, Simulation

OFFER = Offer(backend="sim", region="r", instance_type="t", machine=Machine(cpu=1, memory=1), price=3600.0)
WORKFLOWS = """workflows:
  - name: train
    provider: bash
    commands: ["echo hello"]
  - name: echo
    provider: bash
    commands: ["echo ${{ run.args }}"]
"""


class Office:
    def __init__(self, folder: Path) -> None:
        self.simulation = Simulation(folder, Chance(random.Random(1)))
        self.database = self.simulation.database
        self.store = FailingStore()
        self.sealer = load_sealer(folder / "secret.key")
        backends = self.simulation.world.backends["main"]
        self.world: World = replace(
            self.simulation.world,
            clock=time.time,
            stores={"main": self.store, "other": self.store},
            backends={"main": backends, "other": backends},
        )
        settings = ProjectSettings(backends=("sim",))
        self.context = Context(
            self.world, self.sealer, ConfigurationFile(folder / "config.yaml"), {"main": settings, "other": settings}
        )

    def submit(self, project: str = "main", **changes: Any) -> schemas.RunView:
        return runs.submit(self.context, project, request(**changes))

    def job(self, name: str) -> Job:
        job = self.database.jobs.get(f"{name}.train")
        assert job is not None
        return job

    def set_job(self, name: str, **changes: Any) -> Job:
        return self.database.jobs.save(replace(self.job(name), **changes))

    def end(self, name: str, status: JobStatus = JobStatus.DONE) -> Job:
        return self.set_job(name, status=status, finished_at=time.time())

    def add_machine(self, name: str, status: InstanceStatus, **changes: Any) -> Instance:
        machine = Instance(f"{name}-x", "main", f"{name}.train", name, 1, OFFER, status)
        machine = replace(machine, **changes)
        self.database.instances.add(machine)
        return machine


def request(**changes: Any) -> schemas.RunRequest:
    full: schemas.RunRequest = {
        "files": [{"path": ".dstack/workflows.yaml", "text": WORKFLOWS}],
        "workflow": "train",
        "variables": {},
        "args": [],
        "env": {},
        "tag": "",
        "overrides": {},
        "code": None,
        "local_python": "3.11",
    }
    full.update(changes)  # type: ignore[typeddict-item]  # each test changes what it is about
    return full

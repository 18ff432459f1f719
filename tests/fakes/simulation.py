"""A world with a seed: a backend, runners and crashes, all in memory, around the real steps and the real database.

Every call to the outside may fail before its effect, fail after it (the answer is lost), or be where the server dies.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dstack_cloud import errors
from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.db import open_database
from dstack_cloud.domain.jobs import Confidential, JobSpec
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.resources import Machine, Offer, Requirements
from dstack_cloud.domain.runs import Instance, Job, Run
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator import instances, jobs
from dstack_cloud.orchestrator.reap import reap
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import layout
from dstack_cloud.storage.store import open_store


class Crash(BaseException):
    """kill -9 of the server."""


@dataclass
class Chance:
    """Probabilities of what may go wrong at each outside call."""

    rng: random.Random
    crash: float = 0.0
    fault: float = 0.0

    def before(self) -> None:
        self._roll()

    def after(self) -> None:
        self._roll()

    def _roll(self) -> None:
        if self.rng.random() < self.crash:
            raise Crash
        if self.rng.random() < self.fault:
            raise errors.Unavailable("the answer was lost")


@dataclass
class SimBackend:
    chance: Chance
    name: str = "sim"
    refuse: int = 0
    machines: dict[str, str] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(containers=True, default_image=None, remote=False)

    def validate(self) -> list[Finding]:
        return []

    def offers(self, requirements: Requirements) -> list[Offer]:
        machine = Machine(cpu=1, memory=1)
        return [
            Offer(backend=self.name, region="r", instance_type=f"t{n}", machine=machine, price=float(n))
            for n in range(4)
        ]

    def create(self, launch: Launch) -> str:
        self.chance.before()
        if launch.key not in self.machines and self.refuse > 0:
            self.refuse -= 1
            raise errors.NoCapacity("none left")
        if self.machines.get(launch.key) is None:
            self.created[launch.key] += 1
            self.machines[launch.key] = "running"
        self.chance.after()
        return launch.key

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        self.chance.before()
        return {
            ref: Observed(ref, Health.RUNNING, "unix:x") if ref in self.machines else Observed(ref, Health.GONE)
            for ref in refs
        }

    def list_owned(self) -> list[Owned]:
        return [Owned(key, key) for key in self.machines]

    def terminate(self, refs: Sequence[str]) -> None:
        self.chance.before()
        for ref in refs:
            self.machines.pop(ref, None)
        self.chance.after()


@dataclass
class SimRunners:
    """Satisfies `world.Links`; a runner's life advances by `tick`, and its words reach the store as a courier's would."""

    chance: Chance
    backend: SimBackend
    phases: dict[str, list[str]] = field(default_factory=dict)
    started: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)

    def prepare(self, instance: Instance) -> str:
        return ""

    def open(self, instance: Instance) -> SimLink:  # type: ignore[override]
        if instance.id not in self.backend.machines:
            raise errors.RunnerUnreachable("nothing there")
        return SimLink(self, instance.id)

    def forget(self, instance: Instance, *, keys: bool) -> None:
        pass


@dataclass
class SimLink:
    runners: SimRunners
    instance_id: str

    def submit(self, job: dict[str, object]) -> None:
        self.runners.chance.before()
        if self.instance_id not in self.runners.phases:
            self.runners.started[self.instance_id] += 1
            self.runners.phases[self.instance_id] = ["downloading", "running", "running", "uploading", "finished"]
        self.runners.chance.after()

    def stop(self, abort: bool) -> None:
        self.runners.reasons[self.instance_id] = "aborted" if abort else "stopped"
        self.runners.phases[self.instance_id] = ["uploading", "finished"]


class SimCouriers:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def ensure(self, instance: Instance, job: Job) -> None:
        pass

    def stop(self, instance_id: str) -> None:
        pass

    def unreachable_for(self, instance_id: str) -> float:
        return 1.0 if self._simulation.lost else 0.0


class Open:
    def open(self, sealed: bytes) -> Confidential:
        return Confidential()


class Simulation:
    """One run of one job. `go` steps until nothing is left to do."""

    def __init__(self, folder: Path, chance: Chance, refuse: int = 0) -> None:
        self.chance = chance
        self.now = 1000.0
        self.lost = False
        self.backend = SimBackend(chance, refuse=refuse)
        self.runners = SimRunners(chance, self.backend)
        self.store = open_store("memory://")
        self.database = open_database(f"sqlite:///{folder / 'sim.db'}")
        self.world = World(
            clock=lambda: self.now,
            database=self.database,
            stores={"main": self.store},
            backends={"main": {"sim": self.backend}},
            links=self.runners,  # type: ignore[arg-type]  # its link is the simulated one
            unsealer=Open(),
            installation="sim",
        )

    def submit(self) -> Job:
        spec = JobSpec(workflow="train", provider="bash", requirements=Requirements(backends=("sim",)))
        job = Job("shady-1.train", "r", "main", "shady-1", "train", spec, status=JobStatus.SUBMITTED)
        self.database.runs.add(Run("r", "main", "shady-1", "train", None))
        self.database.jobs.add(job)
        return job

    def job(self) -> Job:
        job = self.database.jobs.get("shady-1.train")
        assert job is not None
        return job

    def go(self, rounds: int = 400) -> None:
        for _ in range(rounds):
            if self.job().status.finished and not self.database.instances.alive():
                return
            self.step_once()
        raise AssertionError(f"not at its end after {rounds} rounds: {self.job()}")

    def step_once(self) -> None:
        try:
            self._round()
        except Crash:
            self.database.forget_leases()
        self.now += 1.0

    def lose_machines(self) -> None:
        """Death without notice: the courier has lost the runner, and the backend says that it is gone."""
        self.backend.machines.clear()
        self.lost = True

    def reap(self) -> None:
        reap(self.world)

    def _round(self) -> None:
        for instance in self.database.instances.claim("w", now=self.now, lease=60, limit=1):
            self._step(lambda row=instance: instances.step(self.world, SimCouriers(self), row))  # type: ignore[misc,arg-type]
        for job in self.database.jobs.claim("w", now=self.now, lease=60, limit=1):
            self._step(lambda row=job: jobs.step(self.world, row))  # type: ignore[misc]
        # a runner may go through several phases between two looks at it
        while self.chance.rng.random() < 0.3:
            self._tick()
        if self.chance.rng.random() < 0.05:
            reap(self.world)

    def _step(self, step: object) -> None:
        try:
            step()  # type: ignore[operator]
        except (Stale, errors.BackendError):
            self.database.forget_leases()

    def _tick(self) -> None:
        """Each living runner says its next word."""
        for instance_id, phases in self.runners.phases.items():
            if instance_id in self.backend.machines and phases:
                self._report(instance_id, phases.pop(0))

    def _report(self, instance_id: str, phase: str) -> None:
        instance = self.database.instances.get(instance_id)
        assert instance is not None
        place = layout.AttemptPlace("shady-1", "train", instance.attempt)
        reason = self.runners.reasons.get(instance_id, "")
        code = 0 if phase in ("uploading", "finished") and not reason else None
        state = {"attempt": instance_id, "phase": phase, "message": "", "exit_code": code, "reason": reason}
        self.store.put(place.status, json.dumps({**state, "started_at": self.now, "warnings": []}).encode())
        self.database.jobs.wake("shady-1.train", now=self.now)

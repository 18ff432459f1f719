"""A world with a seed: a backend, runners and crashes, all in memory, around the real steps and the real database.

Every call to the outside may fail before its effect, fail after it (the answer is lost), or be where the server dies. Machines
may be taken back with notice, die without, stop and still be there, be cut off while they go on working, or turn up long after the
call that made them.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dstack_cloud import errors
from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.db import open_database
from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.jobs import Confidential, JobSpec
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.resources import Machine, Offer, Requirements
from dstack_cloud.domain.runs import Instance, Job, Need, Run, node_name
from dstack_cloud.domain.secrets import Secret
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator import instances, jobs
from dstack_cloud.orchestrator.observations import Observations
from dstack_cloud.orchestrator.reap import reap
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import layout
from dstack_cloud.storage.store import open_store
from tests.fakes.invariants import check_job


class Crash(BaseException):
    """kill -9 of the server."""


@dataclass
class Chance:
    """Probabilities of what may go wrong: `crash`, `fault` at each outside call, `late` at each create call, `stay` at each that
    ends a machine: it has no effect; `interrupt`, `lose`, `stop` and `cut` in each round."""

    rng: random.Random
    crash: float = 0.0
    fault: float = 0.0
    late: float = 0.0
    interrupt: float = 0.0
    lose: float = 0.0
    stop: float = 0.0
    stay: float = 0.0
    cut: float = 0.0

    def hits(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def before(self) -> None:
        self._roll()

    def after(self) -> None:
        self._roll()

    def crashes(self) -> None:
        if self.hits(self.crash):
            raise Crash

    def _roll(self) -> None:
        if self.rng.random() < self.crash:
            raise Crash
        if self.rng.random() < self.fault:
            raise errors.Unavailable("the answer was lost")


def an_offer(instance_type: str = "t0", price: float | None = 1.0, **changes: Any) -> Offer:
    machine = Machine(cpu=1, memory=1)
    return Offer(
        **{
            "backend": "sim",
            "region": "r",
            "machine": machine,
            **changes,
            "instance_type": instance_type,
            "price": price,
        }
    )


@dataclass
class SimBackend:
    """`refuse`: so many calls more find no capacity. `refusals`: what each offer's create call raises, by its key. A machine in
    `coming` is there from that moment on; the call that made it got no answer."""

    chance: Chance
    name: str = "sim"
    refuse: int = 0
    remote: bool = False
    catalogue: list[Offer] = field(default_factory=lambda: [an_offer(f"t{n}", float(n)) for n in range(4)])
    refusals: dict[tuple[str, str, str, str, bool], errors.BackendError] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)
    coming: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(containers=True, default_image=None, remote=self.remote, private_network=True)

    def validate(self) -> list[Finding]:
        return []

    def offers(self, requirements: Requirements) -> list[Offer]:
        return self.catalogue

    def create(self, launch: Launch) -> str:
        self.chance.before()
        if launch.key not in self.machines:
            self._refuse(launch)
            self.created[launch.key] += 1
            self.machines[launch.key] = "running"
        self.chance.after()
        return launch.key

    def _refuse(self, launch: Launch) -> None:
        if launch.key in self.coming:
            raise errors.Unavailable("still no answer")
        if self.created[launch.key]:
            raise errors.NoCapacity("the machine of this launch ended before")
        if self.refuse > 0:
            self.refuse -= 1
            raise errors.NoCapacity("none left")
        if refusal := self.refusals.get(launch.offer.key):
            raise refusal
        if self.chance.hits(self.chance.late):
            self.coming[launch.key] = self.now + self.chance.rng.uniform(0, 400)
            raise errors.Unavailable("no answer")

    def arrive(self, now: float) -> None:
        self.now = now
        for key in [key for key, moment in self.coming.items() if moment <= now]:
            del self.coming[key]
            self.created[key] += 1
            self.machines[key] = "running"

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        self.chance.before()
        return {ref: self._observe(ref) for ref in refs}

    def _observe(self, ref: str) -> Observed:
        if self.runs(ref):
            return Observed(ref, Health.RUNNING, "unix:x", address=f"10.{ref}")
        return Observed(ref, Health.STOPPED if ref in self.machines else Health.GONE)

    def runs(self, ref: str) -> bool:
        return self.machines.get(ref) == "running"

    def list_owned(self) -> list[Owned]:
        return [Owned(key, key) for key in self.machines]

    def terminate(self, refs: Sequence[str]) -> None:
        self.chance.before()
        for ref in refs:
            if not self.chance.hits(self.chance.stay):
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
    life: tuple[str, ...] = ("downloading", "running", "running", "uploading", "finished")
    keys: set[str] = field(default_factory=set)
    # what each was told of the nodes with which it works
    nodes: dict[str, list[str]] = field(default_factory=dict)

    def working(self) -> list[str]:
        """Whose machine runs and whose job hasn't ended."""
        return [key for key, phases in self.phases.items() if self.backend.runs(key) and phases]

    def prepare(self, instance: Instance) -> str:
        self.keys.add(instance.id)
        return ""

    def open(self, instance: Instance) -> SimLink:  # type: ignore[override]
        if not self.backend.runs(instance.id):
            raise errors.RunnerUnreachable("nothing there")
        return SimLink(self, instance.id)

    def forget(self, instance: Instance, *, keys: bool) -> None:
        if keys:
            self.chance.crashes()
            self.keys.discard(instance.id)

    def sweep(self, alive: Callable[[], Collection[str]]) -> None:
        kept = set(self.keys)
        self.keys -= kept - set(alive())


@dataclass
class SimLink:
    runners: SimRunners
    instance_id: str

    def submit(self, job: dict[str, object]) -> None:
        self.runners.chance.before()
        if self.instance_id not in self.runners.phases:
            self.runners.started[self.instance_id] += 1
            self.runners.nodes[self.instance_id] = list(job["nodes"])  # type: ignore[call-overload]
            self.runners.phases[self.instance_id] = list(self.runners.life)
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

    def given_up(self, instance_id: str) -> str:
        return self._simulation.given_up

    def unreachable_for(self, instance_id: str) -> float:
        cut = self._simulation.cut_at.get(instance_id)
        if cut is not None:
            return self._simulation.now - cut + 1.0
        return 0.0 if self._simulation.backend.runs(instance_id) else 1.0


class Open:
    def open(self, sealed: bytes) -> Confidential:
        return Confidential()

    def open_secret(self, secret: Secret | Credential) -> str:
        return secret.sealed.decode()

    def keyed(self, data: bytes) -> str:
        return data.hex()


class Simulation:
    """One run, of one job unless `add` adds more. `go` steps until nothing is left to do."""

    def __init__(self, folder: Path, chance: Chance, refuse: int = 0, *, remote: bool = False) -> None:
        self.chance = chance
        self.now = 1000.0
        self.cut_at: dict[str, float] = {}
        # why couriers say that nothing more can be saved
        self.given_up = ""
        # exit codes of jobs, where not 0
        self.codes: dict[str, int] = {}
        self.backend = SimBackend(chance, refuse=refuse, remote=remote)
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
            observations=Observations(spacing=0.0),
        )

    def submit(self, needs: tuple[str, ...] = (), nodes: int = 1, **changes: Any) -> Job:
        """`changes` of the job's specification."""
        self.database.runs.add(Run("r", "main", "shady-1", "train", None))
        return self.add("train", needs, nodes, **changes)

    def add(self, name: str, needs: tuple[str, ...] = (), nodes: int = 1, **changes: Any) -> Job:
        """Another job of the run, after those that it needs; the first of its nodes."""
        wanted = Requirements(backends=("sim",), nodes=nodes)
        spec = JobSpec(workflow=name, provider="bash", requirements=wanted, **changes)
        waits = tuple(Need("shady-1", other) for other in needs)
        base = Job(f"shady-1.{name}", "r", "main", "shady-1", name, spec, submitted_at=self.now, needs=waits)
        for node in range(nodes):
            called = node_name(name, node)
            job = replace(base, id=f"shady-1.{called}", name=called, node=node, status=JobStatus.SUBMITTED)
            self.database.jobs.add(job)
        return base

    def job(self, name: str = "train") -> Job:
        job = self.database.jobs.get(f"shady-1.{name}")
        assert job is not None
        return job

    def jobs(self) -> list[Job]:
        return self.database.jobs.of_runs(["r"])

    def go(self, rounds: int = 400) -> None:
        for _ in range(rounds):
            if all(job.status.finished for job in self.jobs()) and not self.database.instances.alive():
                return
            self.step_once()
            self.check()
        raise AssertionError(f"not at its end after {rounds} rounds: {self.jobs()}")

    def step_once(self) -> None:
        try:
            self._round()
        except Crash:
            self.database.forget_leases()
        self.now += 1.0
        if not self.backend.machines and not self.backend.coming:
            # nothing happens before somebody looks again
            self.now = max(self.now, self.database.next_due() or 0.0)

    def check(self) -> None:
        """What holds in every moment."""
        for job in self.jobs():
            check_job(self, job)
        assert all(count == 1 for count in self.backend.created.values()), "a key made two machines"

    def launches(self, name: str = "train") -> list[Instance]:
        return self.database.instances.of_jobs([self.job(name).id])

    def lose_machines(self) -> None:
        """Death without notice: the courier has lost the runner, and the backend says that it is gone."""
        self.backend.machines.clear()

    def interrupt(self, instance_id: str) -> None:
        """The runner hears of it, and saves what it can."""
        if self.runners.phases.get(instance_id, ["uploading"])[0] not in ("uploading", "finished"):
            self.runners.reasons[instance_id] = "interrupted"
            self.runners.phases[instance_id] = ["uploading", "finished"]

    def _bad_luck(self) -> None:
        for key in list(self.backend.machines):
            if self.chance.hits(self.chance.interrupt) and key in self.runners.working():
                self.interrupt(key)
            elif self.chance.hits(self.chance.lose):
                self.backend.machines.pop(key)
            elif self.chance.hits(self.chance.stop):
                self.backend.machines[key] = "stopped"
            elif self.chance.hits(self.chance.cut):
                self.cut_at.setdefault(key, self.now)

    def reap(self) -> None:
        reap(self.world)

    def _round(self) -> None:
        self.backend.arrive(self.now)
        self._bad_luck()
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
            if self.backend.runs(instance_id) and phases and self.database.instances.get(instance_id):
                self._report(instance_id, phases.pop(0))

    def _report(self, instance_id: str, phase: str) -> None:
        instance = self.database.instances.get(instance_id)
        assert instance is not None
        name = instance.job_id.partition(".")[2]
        place = layout.AttemptPlace("shady-1", name, instance.attempt)
        reason = self.runners.reasons.get(instance_id, "")
        noticed = self.now if reason == "interrupted" else None
        code = self.codes.get(name, 0) if phase in ("uploading", "finished") and not reason else None
        state = {
            "attempt": instance_id,
            "phase": phase,
            "message": "",
            "exit_code": code,
            "reason": reason,
            "notice_at": noticed,
        }
        self.store.put(place.status, json.dumps({**state, "started_at": self.now, "warnings": []}).encode())
        self.database.jobs.wake(instance.job_id, now=self.now)

"""Everything outside the orchestrator, as arguments: the same steps run under real clouds and under a simulated world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.base.access import StoreAccess
from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.jobs import Confidential
from dstack_cloud.domain.repositories import Database
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.secrets import Secret
from dstack_cloud.orchestrator.observations import Observations
from dstack_cloud.runner_bootstrap.link import RunnerLink
from dstack_cloud.ssh.endpoint import Trust
from dstack_cloud.storage.base import Store

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Seconds. `poll` is only the safety net behind the wake-ups, `waiting` that of jobs which wait for others; `boot` is how long a machine may take to answer.

    `refused_retry` is how long a create call without a clear answer is repeated, `throttled` one that is one too many; `absence`
    is for how long the backend's list must then lack the machine before another is asked for, and `unlisted` how long that list
    may be out of reach (by then the machine, if there is one, has ended itself). `settle` is how long a cloud may take to know a machine that it just made.
    `preparing` and `saving` are what a machine may take for its boot, the image and the inputs, and to save a job's outputs,
    beyond the job's `max_duration`.
    """

    lease: float = 600.0
    poll: float = 15.0
    waiting: float = 300.0
    retry: float = 0.25
    longest_retry: float = 10.0
    boot: float = 300.0
    unreachable: float = 600.0
    refused_retry: float = 120.0
    throttled: float = 900.0
    absence: float = 10.0
    unlisted: float = 900.0
    settle: float = 10.0
    saving: float = 1800.0
    preparing: float = 3600.0
    reap: float = 60.0


class Links(Protocol):
    """Ways to runners. `open` connects and, on a machine, installs the runner first; raises RunnerUnreachable,
    HostKeyMismatch."""

    def prepare(self, instance: Instance) -> str:
        """Keys for a remote machine about to be made; returns its user data. The same again when it is asked again."""
        ...

    def open(self, instance: Instance) -> RunnerLink: ...
    def trust(self, instance: Instance) -> Trust:
        """That machine's client key and host keys."""
        ...

    def forget(self, instance: Instance, *, keys: bool) -> None:
        """Closes the connection; with `keys` the key files go too."""
        ...

    def sweep(self, alive: Callable[[], Collection[str]]) -> None:
        """Removes the key files of all machines but those whose ids `alive` gives: it is asked after they were listed."""
        ...

    def carrier_of(self, instance: Instance) -> Literal["", "machine", "server"]:
        """Who was chosen to carry its objects; "": nobody yet."""
        ...

    def send_courier(self, instance: Instance, errand: Errand, store: MachineStore | None) -> bool:
        """Whether the machine carries its objects itself; from then on that is settled. Asked again, it brings what a reboot
        loses, and newer credentials. Without `store` the server carries. Raises RunnerUnreachable, SshError."""
        ...


class Unsealer(Protocol):
    def open(self, sealed: bytes) -> Confidential: ...
    def open_secret(self, secret: Secret | Credential) -> str: ...
    def keyed(self, data: bytes) -> str: ...


class Changes:
    """Wakes whoever waits for a change of any run. Spurious wake-ups are allowed, missed ones aren't."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def notify(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Returns the present count: at once if it isn't `seen`, else after a change or `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout)
            return self._count


class Awake:
    """Since when this server has been awake: what passed while it was down, stopped or asleep is held against no machine."""

    def __init__(self, since: float = 0.0) -> None:
        self.since = since

    def count(self, seconds: float, now: float) -> float:
        """So many of the last `seconds` as the server was awake."""
        return min(seconds, max(now - self.since, 0.0))


def _forgotten(what: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"{what} isn't in the configuration any more, and has unfinished jobs or machines",
        "put it back into config.yaml until they have ended",
    )


@dataclass(frozen=True)
class World:
    """`backends` and `stores` by project; `installation` is the owner tag of this DSTACK_HOME. `receiving`: the ids of the runs
    whose artifacts are being uploaded to this server. `ca_bundle` is the configured one, `own_ca_bundle` that of this computer's
    environment; both PEM text, "": none."""

    clock: Clock
    database: Database
    stores: Mapping[str, Store]
    backends: Mapping[str, Mapping[str, Backend]]
    links: Links
    unsealer: Unsealer
    installation: str
    ca_bundle: str = ""
    own_ca_bundle: str = ""
    timing: Timing = field(default_factory=Timing)
    changes: Changes = field(default_factory=Changes)
    awake: Awake = field(default_factory=Awake)
    observations: Observations = field(default_factory=Observations)
    access: Mapping[str, StoreAccess] = field(default_factory=dict)
    receiving: set[str] = field(default_factory=set)
    wake: Callable[[], None] = lambda: None

    def backend_of(self, instance: Instance) -> Backend:
        return self.backend(instance.project, instance.offer.backend)

    def backend(self, project: str, name: str) -> Backend:
        """Raises ConfigurationError where the configuration doesn't have it any more."""
        found = self.backends.get(project, {}).get(name)
        if found is None:
            raise _forgotten(f"the backend {name} of the project {project}")
        return found

    def store_of(self, row: Job | Instance) -> Store:
        """Raises ConfigurationError where the configuration doesn't have its project any more."""
        found = self.stores.get(row.project)
        if found is None:
            raise _forgotten(f"the project {row.project}")
        return found

    def wake_job(self, job_id: str) -> None:
        self.database.jobs.wake(job_id, now=self.clock())
        self.changes.notify()
        self.wake()

    def wake_instance(self, instance_id: str) -> None:
        self.database.instances.wake(instance_id, now=self.clock())
        self.wake()

    def save_job(self, job: Job, *, next_check_in: float | None) -> Job:
        """Records a decision and gives the lease back; None: nothing more to do with it."""
        due = None if next_check_in is None else self.clock() + next_check_in
        saved = self._save_end(job) if job.status.finished else self.database.jobs.save(replace(job, next_check_at=due))
        self.changes.notify()
        return saved

    def _save_end(self, job: Job) -> Job:
        """Those that wait for it are due with it, or not at all: nobody else would look at them soon."""
        now = self.clock()
        with self.database.transaction():
            saved = self.database.jobs.save(replace(job, next_check_at=None))
            for other in self.database.jobs.of_runs([job.run_id]):
                if not other.status.finished and any(need.id == job.id for need in other.awaited):
                    self.database.jobs.wake(other.id, now=now)
        self.wake()
        return saved

    def save_instance(self, instance: Instance, *, next_check_in: float | None) -> Instance:
        due = None if next_check_in is None else self.clock() + next_check_in
        saved = self.database.instances.save(replace(instance, next_check_at=due))
        self.changes.notify()
        return saved

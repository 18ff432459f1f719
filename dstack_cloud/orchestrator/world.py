"""Everything outside the orchestrator, as arguments: the same steps run under real clouds and under a simulated world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend
from dstack_cloud.domain.jobs import Confidential
from dstack_cloud.domain.repositories import Database
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.runner_bootstrap.link import RunnerLink
from dstack_cloud.ssh.endpoint import Trust
from dstack_cloud.storage.base import Store

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Seconds. `poll` is only the safety net behind the wake-ups; `boot` is how long a machine may take to answer."""

    lease: float = 600.0
    poll: float = 15.0
    retry: float = 0.25
    longest_retry: float = 10.0
    boot: float = 300.0
    unreachable: float = 600.0
    refused_retry: float = 120.0
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


class Unsealer(Protocol):
    def open(self, sealed: bytes) -> Confidential: ...


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


def _forgotten(what: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"{what} isn't in the configuration any more, and has unfinished jobs or machines",
        "put it back into config.yaml until they have ended",
    )


@dataclass(frozen=True)
class World:
    """`backends` and `stores` by project; `installation` is the owner tag of this DSTACK_HOME."""

    clock: Clock
    database: Database
    stores: Mapping[str, Store]
    backends: Mapping[str, Mapping[str, Backend]]
    links: Links
    unsealer: Unsealer
    installation: str
    ca_bundle: str = ""
    timing: Timing = field(default_factory=Timing)
    changes: Changes = field(default_factory=Changes)
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
        saved = self.database.jobs.save(replace(job, next_check_at=due))
        self.changes.notify()
        return saved

    def save_instance(self, instance: Instance, *, next_check_in: float | None) -> Instance:
        due = None if next_check_in is None else self.clock() + next_check_in
        saved = self.database.instances.save(replace(instance, next_check_at=due))
        self.changes.notify()
        return saved

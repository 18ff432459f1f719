"""What `orchestrator` and `services` ask of the database; `db` satisfies it, and so may a fake.

Every queued row has `next_check_at`. `claim` hands out due rows, each to one worker for `lease` seconds; `save` writes a row
back only if its `version` is still the one that was read, so a worker that lost its lease changes nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.runs import Instance, Job, Run
from dstack_cloud.domain.secrets import Secret


class Stale(Exception):
    """The row changed since it was read: drop what you decided and look again."""

    def __init__(self, message: str, row_id: str) -> None:
        super().__init__(message)
        self.row_id = row_id


class Runs(Protocol):
    def add(self, run: Run) -> None: ...
    def get(self, project: str, name: str) -> Run | None: ...
    def recent(self, project: str, *, limit: int) -> list[Run]:
        """Newest first."""
        ...

    def of_ids(self, run_ids: list[str]) -> list[Run]:
        """Newest first; an id that isn't there is left out."""
        ...

    def names(self, project: str, prefix: str) -> list[str]: ...
    def tagged(self, project: str, tag: str = "") -> list[Run]:
        """Newest first; all that have a tag where none is named."""
        ...

    def set_tag(self, run_id: str, tag: str) -> None:
        """Takes the place of the run's tag; "": it has none any more."""
        ...

    def delete(self, run_id: str) -> None:
        """With its jobs and instances."""
        ...


class Jobs(Protocol):
    def add(self, job: Job) -> None:
        """Raises Conflict where there is a job of that id, in whichever project."""
        ...

    def get(self, job_id: str) -> Job | None: ...
    def of_runs(self, run_ids: list[str]) -> list[Job]: ...
    def unfinished(self, project: str | None = None) -> list[Job]: ...
    def claim(self, owner: str, *, now: float, lease: float, limit: int) -> list[Job]: ...
    def save(self, job: Job, *, release: bool = True) -> Job:
        """Writes the row and returns it with its new version. Raises Stale. `release` gives the lease back."""
        ...

    def wake(self, job_id: str, *, now: float) -> None:
        """Makes it due at once, without touching its version; a worker that holds it looks again after it saves."""
        ...


class Results(Protocol):
    """Finished jobs, for what they made."""

    def newest(self, project: str, names: list[str]) -> list[Job]:
        """Of each workflow's name the job that was done last (of several nodes the first); a name of which none is done is
        left out."""
        ...

    def alike(self, project: str, fingerprints: list[str]) -> list[Job]:
        """Done jobs with these fingerprints, the newest first."""
        ...


class Instances(Protocol):
    def add(self, instance: Instance) -> None: ...
    def get(self, instance_id: str) -> Instance | None: ...
    def of_jobs(self, job_ids: list[str]) -> list[Instance]: ...
    def alive(self) -> list[Instance]: ...
    def forget_refused(self, job_id: str, *, keep: int) -> None:
        """Removes a job's refused launches but for the newest `keep`."""
        ...

    def claim(self, owner: str, *, now: float, lease: float, limit: int) -> list[Instance]: ...
    def save(self, instance: Instance, *, release: bool = True) -> Instance: ...
    def wake(self, instance_id: str, *, now: float) -> None: ...


class Secrets(Protocol):
    def add(self, secret: Secret) -> None:
        """Raises Conflict where the project has one of that name."""
        ...

    def of_project(self, project: str) -> list[Secret]:
        """By name."""
        ...

    def update(self, secret: Secret) -> bool:
        """Whether there is one of that name."""
        ...

    def delete(self, project: str, name: str) -> bool:
        """Whether there was one."""
        ...


class Credentials(Protocol):
    def put(self, credential: Credential) -> None:
        """In the place of one for the same remote."""
        ...

    def of_project(self, project: str) -> list[Credential]:
        """By remote."""
        ...

    def delete(self, project: str, remote: str) -> bool:
        """Whether there was one."""
        ...


class Database(Protocol):
    """Repositories used inside one `transaction()` commit together or not at all; outside one, each call is its own."""

    @property
    def runs(self) -> Runs: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def results(self) -> Results: ...
    @property
    def instances(self) -> Instances: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def credentials(self) -> Credentials: ...
    def transaction(self) -> AbstractContextManager[None]: ...
    def next_due(self) -> float | None:
        """The earliest `next_check_at` of all rows that no one holds; None: nothing waits."""
        ...

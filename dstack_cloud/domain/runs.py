"""Runs, jobs and instances as the orchestrator sees them. Times are UTC seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dstack_cloud.domain.git import GitState
from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.states import FINISHED, Ending, InstanceStatus, JobStatus

StopRequest = Literal["", "stop", "abort"]


@dataclass(frozen=True)
class CodeRef:
    """A snapshot in the store. `size` is bytes before compression."""

    sha256: str
    size: int
    files: int


@dataclass(frozen=True)
class Run:
    """`variables` are all that its workflow sees, with the values that it has in this run."""

    id: str
    project: str
    name: str
    workflow: str
    code: CodeRef | None
    tag: str = ""
    args: tuple[str, ...] = ()
    created_at: float = 0.0
    variables: Mapping[str, str] = field(default_factory=dict)
    git: GitState | None = None


def node_name(workflow: str, node: int) -> str:
    """The name of a job. Node 0 bears the workflow's own: it stands for all of them."""
    return workflow if node == 0 else f"{workflow}.{node}"


@dataclass(frozen=True)
class Need:
    """What a job needs of another one: that it is done, and, where it has `paths`, what it saved there.

    `how` is `run` (it runs first, or was found to have run unchanged before), `last` or `tag`; `given` is what the workflow's
    file calls it. `content` stands for what was there when the job's last attempt began ("": none has yet). Where that job has
    several `nodes`, it is done with all of them, and what each saved lies over what those of a higher rank did.
    """

    run: str
    job: str
    how: Literal["run", "last", "tag"] = "run"
    given: str = ""
    paths: tuple[str, ...] = ()
    content: str = ""
    nodes: int = 1

    @property
    def id(self) -> str:
        return f"{self.run}.{self.job}"

    @property
    def jobs(self) -> tuple[str, ...]:
        """The names of all nodes, in the order in which their artifacts are put over each other."""
        return tuple(node_name(self.job, node) for node in reversed(range(self.nodes)))


@dataclass(frozen=True)
class Job:
    """`node` is its rank among the jobs of its workflow, which run together, each on a machine of its own (`spec.nodes`).

    `attempt` counts from 1 (0: none yet). `sealed` holds Confidential, encrypted. `message` is progress or the reason
    of the end, for people. `version` counts saves: a save of an older version is refused.

    `needs` are in the order in which their artifacts are put over each other. `fingerprint` is of all that may change what the
    job makes, its inputs apart ("": it is never used again); `parts` are what it was made of, each by a keyed hash.

    `searching_since` is when it began to look for its next machine (None: when it was submitted), `round` how often all offers
    were refused since. `started_at` is when its first attempt ran, `running_since` when the present one did, `ran` the seconds
    of all before it. `resumed_at` is when it was last started again by hand, after its end; `clear`
    that what it saved before is to be removed when its next machine is asked for.
    """

    id: str
    run_id: str
    project: str
    run_name: str
    name: str
    spec: JobSpec
    code: CodeRef | None = None
    sealed: bytes = b""
    status: JobStatus = JobStatus.PENDING
    stop_request: StopRequest = ""
    attempt: int = 0
    instance_id: str = ""
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    submitted_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    next_check_at: float | None = 0.0
    version: int = 0
    searching_since: float | None = None
    round: int = 0
    running_since: float | None = None
    ran: float = 0.0
    resumed_at: float | None = None
    clear: bool = False
    needs: tuple[Need, ...] = ()
    fingerprint: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    node: int = 0

    @property
    def awaited(self) -> tuple[Need, ...]:
        """Those of its needs that are jobs of its own run."""
        return tuple(need for need in self.needs if need.run == self.run_name)


@dataclass(frozen=True)
class Instance:
    """One launch: one offer tried. `id` is the idempotency key of the create call and is never used twice.

    `ref` is the backend's own identifier once it is known; `endpoint` says how its runner is reached
    (`unix:PATH` or `ssh:USER@HOST:PORT`), `address` where other nodes reach it, once its runner answers. `deadline` is when it must be gone whatever happens. `wrong` is why it was
    refused ("Code: text") or ended early, in the cloud's words.

    `round` is the job's when the offer was tried; `scope` is how far a refusal reaches (`errors.BackendError.scope`). After a
    create call without a clear answer `absent_since` is when the backend's list first lacked it. `end_asked_at` is when the
    backend was last asked to end it.
    """

    id: str
    project: str
    job_id: str
    run_name: str
    attempt: int
    offer: Offer
    status: InstanceStatus = InstanceStatus.REQUESTED
    ref: str = ""
    endpoint: str = ""
    wrong: str = ""
    created_at: float = 0.0
    started_at: float | None = None
    deadline: float | None = None
    terminated_at: float | None = None
    next_check_at: float | None = 0.0
    version: int = 0
    round: int = 0
    scope: str = ""
    ending: Ending = Ending.NONE
    absent_since: float | None = None
    end_asked_at: float | None = None
    address: str = ""


def run_status(jobs: list[Job]) -> JobStatus:
    """One word for a run: what its least advanced unfinished job does, else the worst ending."""
    unfinished = [job.status for job in jobs if job.status not in FINISHED]
    if unfinished:
        order = list(JobStatus)
        return max(unfinished, key=order.index)
    for ending in (JobStatus.FAILED, JobStatus.ABORTED, JobStatus.STOPPED):
        if any(job.status is ending for job in jobs):
            return ending
    return JobStatus.DONE

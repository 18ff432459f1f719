"""The JSON that server and client exchange. TypedDicts: FastAPI validates them, and the CLI pays nothing for them.

Times are UTC seconds since the epoch, sizes bytes, prices USD per hour (None: unknown).
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from dstack_cloud.api.machines import (
    FindingView as FindingView,
)
from dstack_cloud.api.machines import (
    InstanceView as InstanceView,
)
from dstack_cloud.api.machines import (
    MachineView as MachineView,
)
from dstack_cloud.api.machines import (
    OffersRequest as OffersRequest,
)
from dstack_cloud.api.machines import (
    OffersView as OffersView,
)
from dstack_cloud.api.machines import (
    OfferView as OfferView,
)
from dstack_cloud.api.machines import (
    Overrides as Overrides,
)
from dstack_cloud.api.machines import (
    RefusalView as RefusalView,
)
from dstack_cloud.api.machines import (
    RunnerView as RunnerView,
)
from dstack_cloud.api.setups import KeptView as KeptView
from dstack_cloud.api.setups import SetupView as SetupView

VERSION_HEADER = "x-dstack-version"


class ServerView(TypedDict):
    version: str
    pid: int
    started_at: float
    active_jobs: int
    home: str


class ErrorView(TypedDict):
    """`code` is the class name in `errors`; `problems` where a file has several."""

    code: str
    summary: str
    hint: str | None
    problems: NotRequired[list[ProblemView]]


class ProblemView(TypedDict):
    """`where` is the key path (`workflows[0].resources.gpu`); line and column count from 1, 0 where unknown."""

    file: str
    line: int
    column: int
    where: str
    text: str
    hint: str | None


class SourceFile(TypedDict):
    """A file of `.dstack`, or of a provider that one names, by its path relative to the working folder."""

    path: str
    text: str


class WorkflowView(TypedDict):
    name: str
    help: str
    provider: str
    file: str
    line: int


class VariableView(TypedDict):
    name: str
    default: str
    shared: bool
    help: str


class WorkflowDetail(WorkflowView):
    """`variables`: all that it sees, its own first (`shared`: a global one); `takes_args`: it uses `${{ run.args }}`."""

    variables: list[VariableView]
    takes_args: bool


class CheckRequest(TypedDict):
    files: list[SourceFile]


class WorkflowRequest(CheckRequest):
    workflow: str


class CheckView(TypedDict):
    workflows: list[WorkflowView]
    problems: list[ProblemView]
    warnings: list[ProblemView]


class CodeView(TypedDict):
    sha256: str
    size: int
    files: int


class GitView(TypedDict):
    """`remote` has no credentials, and is "" where there is none; `branch` is "" for a detached head, `commit` before the first."""

    remote: str
    branch: str
    commit: str
    dirty: bool


class RunRequest(TypedDict):
    """`variables` are those given other values; `env` answers `PlanView.needs_env` and adds `-e K=V`; `code` is None when planning,
    unless it is to be said what is used again; `git` where the folder is in no repository. `contents` answers
    `PlanView.contents`: by path a digest of what is there. `reuse`: of which jobs the outputs of an unchanged run are used, by
    default of dependencies (`deps`). `rebuild`: what setups made before isn't used. `reload`: the workflow's code will change while
    it runs, so its program looks out for that, and nobody takes its outputs for those of the code that it began with. `setups`: by
    workflow and path, digests of the files that its setup names, for a plan that shall say which of them are there."""

    files: list[SourceFile]
    workflow: str
    variables: dict[str, str]
    args: list[str]
    env: dict[str, str]
    tag: str
    overrides: Overrides
    code: CodeView | None
    local_python: str
    git: NotRequired[GitView | None]
    contents: NotRequired[dict[str, str]]
    reuse: NotRequired[Literal["none", "deps", "all"]]
    rebuild: NotRequired[bool]
    reload: NotRequired[bool]
    setups: NotRequired[dict[str, dict[str, str]]]


class SecretView(TypedDict):
    name: str
    updated_at: float


class SecretValue(TypedDict):
    value: str


class SecretRequest(SecretValue):
    name: str


class RemoteView(TypedDict):
    """A Git remote that jobs can reach. `kind` is key or token."""

    remote: str
    kind: str
    updated_at: float


class RemoteRequest(TypedDict):
    """`secret` is a private key (then `known_hosts` has the lines for its server) or a token."""

    remote: str
    kind: str
    secret: str
    username: str
    known_hosts: str


class PlannedJob(TypedDict):
    """`paths`: artifact and cache paths that must stay inside the working folder; `reads`: what must be in it. `needs` are those of its run by name, others by
    id. `reused`: the id of the job whose outputs are used instead; else `why` it runs ("" where that isn't asked). `nodes`: so many
    machines run it together; an offer's price is that of one. `setup`: None where it has none."""

    name: str
    provider: str
    image: str | None
    paths: list[str]
    reads: list[str]
    needs: list[str]
    reused: str
    why: str
    nodes: int
    offers: list[OfferView]
    setup: SetupView | None


class PlanView(TypedDict):
    """`jobs` in their order, that of `workflow` last. `contents`: paths of the working folder whose digests decide what is used
    again; "." is all of it but the workflow files. `variables`: all that the workflow sees, with their values;
    `secrets`: the names of those that the jobs get."""

    workflow: str
    variables: dict[str, str]
    jobs: list[PlannedJob]
    contents: list[str]
    needs_env: list[str]
    secrets: list[str]
    warnings: list[str]


class PortView(TypedDict):
    """The port the program listens on, and the one on the user's computer that leads to it."""

    app: int
    local: int


class AccessPort(TypedDict):
    """`target` is the port of the machine's loopback behind which the program listens; `page` what stands behind the port in the
    address that a browser opens, with the token that the program asks for."""

    app: int
    local: int
    target: int
    page: str


class WayView(TypedDict):
    """A machine that SSH reaches: `ssh:USER@HOST:PORT`, our key for it ("": the user's agent has one), and the host keys that it
    may show, as public lines or `SHA256:…`."""

    endpoint: str
    client_key: str
    host_keys: list[str]


class AccessView(WayView):
    """How an attached user reaches a running job. `endpoint` is "" where it runs on the server's own computer; `jumps` are the
    machines on the way, the nearest first. `attempt` is what the job's container carries in the label `dstack.attempt`;
    `container` is False where it runs as processes. `folder` is where these begin, relative to the job's working folder."""

    job: str
    jumps: list[WayView]
    attempt: str
    container: bool
    folder: str
    ports: list[AccessPort]


class NeedView(TypedDict):
    """A job that this one needs: `how` is `run` (of the same run, or used again from another), `last` or `tag`; `given` is what the
    workflow's file calls it."""

    id: str
    how: str
    given: str


class TagView(TypedDict):
    tag: str
    run: str
    workflow: str
    status: str
    submitted_at: float


class TagBody(TypedDict):
    tag: str


class JobView(TypedDict):
    """`node` is its rank among the `nodes` that run together, each a job of its own."""

    id: str
    name: str
    status: str
    attempt: int
    exit_code: int | None
    reason: str
    message: str
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    node: int
    nodes: int
    ports: list[PortView]
    needs: list[NeedView]
    instances: list[InstanceView]
    cost: float | None
    currency: str


class RunView(TypedDict):
    name: str
    workflow: str
    project: str
    status: str
    tag: str
    variables: dict[str, str]
    args: list[str]
    submitted_at: float
    finished_at: float | None
    exit_code: int | None
    cost: float | None
    currency: str
    code: CodeView | None
    git: GitView | None
    jobs: list[JobView]


class RestartRequest(TypedDict):
    clear: bool


class ResumedView(TypedDict):
    """`logged`: the bytes of the log that each job of the run has from before."""

    run: RunView
    logged: dict[str, int]


class StopRequestBody(TypedDict):
    abort: bool
    job: NotRequired[str]


class FaultRequest(TypedDict):
    """`fault`: one of `backends.base.Fault`; `value`: seconds, or bits a second, 0: the backend's own."""

    fault: str
    value: float


class ChangesView(TypedDict):
    """`kept`: paths that were left as the job has them."""

    kept: list[str]


class SaveView(TypedDict):
    """What a job's attempt had saved of its artifacts at one time. `complete`: at its end, by itself."""

    job: str
    attempt: int
    complete: bool
    saved_at: float
    files: int
    size: int


class ArtifactView(TypedDict):
    """`kind` is file, dir or link; `sha256` is empty but for files."""

    job: str
    path: str
    size: int
    kind: str
    sha256: str


class PruneView(TypedDict):
    """What would be (`dry_run`) or was freed."""

    entries: list[CacheView]
    bytes: int


class CacheView(TypedDict):
    """`place`: `store`, or the backend whose machine keeps it; there `modified_at` is when it was last used."""

    workflow: str
    place: str
    size: int
    modified_at: float


Json = dict[str, Any]

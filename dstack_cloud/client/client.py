"""The typed client: one method an endpoint of docs/dev/api.md."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from dstack_cloud.api.configuration import DEFAULT_PROJECT
from dstack_cloud.api.locations import state_folder
from dstack_cloud.client.transport import Query, Transport
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import (
        AccessView,
        ArtifactView,
        ChangesView,
        CheckView,
        FindingView,
        Json,
        MachineView,
        OffersRequest,
        OffersView,
        PlanView,
        PruneView,
        RemoteRequest,
        RemoteView,
        ResumedView,
        RunnerView,
        RunRequest,
        RunView,
        SaveView,
        SecretView,
        ServerView,
        SourceFile,
        TagView,
        WorkflowDetail,
    )
    from dstack_cloud.client.configuration import ConfigurationClient
    from dstack_cloud.client.follow import Frame


class Client:
    """Speaks to the server of `home` (DSTACK_HOME by default), which is started where there is none, about `project` (by default
    DSTACK_PROJECT, else the one that the configuration says).

    Every method raises what the server answers, by its class in `errors`, or ServerError where it can't be reached.
    """

    def __init__(self, home: Path | None = None, *, project: str = "", autostart: bool = True) -> None:
        self.home = home or state_folder()
        self._transport = Transport(self.home, autostart=autostart)
        named = project or os.environ.get("DSTACK_PROJECT") or DEFAULT_PROJECT
        self._base = f"/api/projects/{_segment(named)}"

    def server(self) -> ServerView:
        return cast("ServerView", self._transport.call("GET", "/api/server"))

    def server_is_up(self) -> bool:
        """Without starting it."""
        return self._transport.is_up()

    def stop_server(self) -> bool:
        """Waits until it has ended; its runs go on. False where none was there."""
        from dstack_cloud.client.autostart import stop

        return stop(self.home)

    def schema(self) -> Json:
        """The JSON Schema of `.dstack/workflows.yaml`."""
        return cast("Json", self._transport.call("GET", "/api/schema"))

    def check(self, files: list[SourceFile]) -> CheckView:
        return cast("CheckView", self._transport.call("POST", f"{self._base}/check", {"files": files}))

    def workflow(self, files: list[SourceFile], name: str) -> WorkflowDetail:
        body = {"files": files, "workflow": name}
        return cast("WorkflowDetail", self._transport.call("POST", f"{self._base}/workflow", body))

    def plan(self, request: RunRequest) -> PlanView:
        return cast("PlanView", self._transport.call("POST", f"{self._base}/plan", request))

    def has_code(self, sha256: str) -> bool:
        return self._transport.exists(f"{self._base}/code/{sha256}")

    def put_code(self, sha256: str, packed: Iterator[bytes]) -> None:
        """`packed`: a tar stream in zstandard, from `packing.pack`."""
        self._transport.upload(f"{self._base}/code/{sha256}", packed)

    def submit(self, request: RunRequest) -> RunView:
        return cast("RunView", self._transport.call("POST", f"{self._base}/runs", request))

    def runs(self, *, everything: bool = False, last: int | None = None) -> list[RunView]:
        """Newest first; by default the unfinished ones, else the last one."""
        query: Query = {"all": 1 if everything else None, "last": last}
        return cast("list[RunView]", self._transport.call("GET", f"{self._base}/runs", query=query))

    def run(self, name: str) -> RunView:
        return cast("RunView", self._transport.call("GET", self._run(name)))

    def delete(self, name: str) -> None:
        self._transport.call("DELETE", self._run(name))

    def stop(self, name: str, *, abort: bool = False) -> RunView:
        """Asks a run, or one job, to end; returns at once."""
        return cast("RunView", self._transport.call("POST", f"{self._run(name)}/stop", {"abort": abort}))

    def put_changes(self, name: str, attempt: int, packed: Iterator[bytes]) -> list[str]:
        """Sends what has changed in the working folder to a job while that attempt runs; the paths that were left as the job has
        them. `packed`: from `changes.Changes.packed`. Raises Conflict where it doesn't run."""
        answer = self._transport.upload(f"{self._run(name)}/changes", packed, {"attempt": attempt})
        return cast("ChangesView", answer)["kept"]

    def resume(self, name: str) -> ResumedView:
        """Starts a job that has ended again, as its next attempt, with the artifacts that it saved."""
        return cast("ResumedView", self._transport.call("POST", f"{self._run(name)}/resume"))

    def restart(self, name: str, *, clear: bool = False) -> ResumedView:
        """The same for all jobs of a run that didn't end well; with `clear` for all of them, and what they saved is removed."""
        return cast("ResumedView", self._transport.call("POST", f"{self._run(name)}/restart", {"clear": clear}))

    def inflict(self, name: str, fault: str, value: float = 0.0) -> RunView:
        """Breaks the machine of a run, or of one job, on purpose; see `backends.base.Fault`."""
        body = {"fault": fault, "value": value}
        return cast("RunView", self._transport.call("POST", f"{self._run(name)}/fault", body))

    def saves(self, name: str) -> list[SaveView]:
        """What its jobs have saved of their artifacts so far, oldest first."""
        return cast("list[SaveView]", self._transport.call("GET", f"{self._run(name)}/saves"))

    def follow(self, name: str, reached: Mapping[str, int] | None = None) -> Iterator[Frame]:
        """Every change of the run (or of one job's) and every byte of the logs, until it has ended. `reached`: the bytes of each
        job's log that aren't wanted again. Survives restarts of the server."""
        from dstack_cloud.client.follow import follow

        return follow(lambda query: self._transport.stream(f"{self._run(name)}/follow", query), reached)

    def logs(
        self, name: str, *, since: float | None = None, attempt: int | None = None, follow: bool = False
    ) -> Iterator[bytes]:
        """The raw log of a run or job, from `since` (UTC seconds) on; of all its attempts, unless one is named."""
        from dstack_cloud.client.follow import follow_bytes

        query: Query = {"follow": 1 if follow else None, "since": since, "attempt": attempt}
        return follow_bytes(lambda: self._transport.stream(f"{self._run(name)}/logs", query))

    def tag(self, run: str, tag: str) -> RunView:
        """Gives the run that tag, in the place of the one that it may have."""
        return cast("RunView", self._transport.call("POST", f"{self._run(run)}/tag", {"tag": tag}))

    def tags(self) -> list[TagView]:
        """Newest first."""
        return cast("list[TagView]", self._transport.call("GET", f"{self._base}/tags"))

    def untag(self, name: str) -> list[TagView]:
        """Takes the tag from the run of that name, else the tag of that name from all runs; which had it."""
        return cast("list[TagView]", self._transport.call("DELETE", f"{self._base}/tags/{_segment(name)}"))

    def access(self, name: str) -> list[AccessView]:
        """How to reach what a run or job serves; one view a job that runs now."""
        return cast("list[AccessView]", self._transport.call("GET", f"{self._run(name)}/access"))

    def artifacts(self, name: str) -> list[ArtifactView]:
        return cast("list[ArtifactView]", self._transport.call("GET", f"{self._run(name)}/artifacts"))

    def archive(self, name: str, path: str | None = None) -> Iterator[bytes]:
        """A tar stream of the artifacts, or of those at or below `path`."""
        with self._transport.stream(f"{self._run(name)}/artifacts/archive", {"path": path}) as stream:
            yield from stream.chunks()

    def upload(self, packed: Iterator[bytes], *, name: str, tag: str, path: str) -> RunView:
        """A finished run with that tag, whose artifacts are what `packed`, a tar stream from `uploading.tar`, has at `path`."""
        query: Query = {"name": name, "tag": tag, "path": path}
        return cast("RunView", self._transport.upload(f"{self._base}/uploads", packed, query))

    def cache(self, workflow: str | None = None) -> PruneView:
        """The caches there are, of one workflow or of all."""
        return cast("PruneView", self._transport.call("GET", f"{self._base}/cache", query={"workflow": workflow}))

    def prune_cache(self, workflow: str | None = None, *, older_than: float | None = None) -> PruneView:
        """Removes them and tells which; with `older_than` (UTC seconds) only those last saved before."""
        query: Query = {"workflow": workflow, "older_than": older_than}
        return cast("PruneView", self._transport.call("DELETE", f"{self._base}/cache", query=query))

    def secrets(self) -> list[SecretView]:
        """Their names; nothing tells a value."""
        return cast("list[SecretView]", self._transport.call("GET", f"{self._base}/secrets"))

    def add_secret(self, name: str, value: str) -> None:
        self._transport.call("POST", f"{self._base}/secrets", {"name": name, "value": value})

    def update_secret(self, name: str, value: str) -> None:
        """Jobs get it from their next attempt on."""
        self._transport.call("PUT", self._secret(name), {"value": value})

    def delete_secret(self, name: str) -> None:
        self._transport.call("DELETE", self._secret(name))

    def remotes(self) -> list[RemoteView]:
        """The Git remotes that there are credentials for; nothing tells one."""
        return cast("list[RemoteView]", self._transport.call("GET", f"{self._base}/remotes"))

    def put_remote(self, request: RemoteRequest) -> None:
        self._transport.call("PUT", f"{self._base}/remotes", request)

    def delete_remote(self, remote: str) -> None:
        self._transport.call("DELETE", f"{self._base}/remotes", query={"remote": remote})

    def offers(self, request: OffersRequest) -> OffersView:
        return cast("OffersView", self._transport.call("POST", f"{self._base}/offers", request))

    def instances(self, *, orphans: bool = False) -> list[MachineView]:
        """Machines that may cost money; with `orphans` those that no row of this installation owns."""
        query: Query = {"orphans": 1 if orphans else None}
        return cast("list[MachineView]", self._transport.call("GET", f"{self._base}/instances", query=query))

    def runners(self) -> list[RunnerView]:
        """The user's own machines."""
        return cast("list[RunnerView]", self._transport.call("GET", f"{self._base}/runners"))

    def findings(self) -> list[FindingView]:
        """Whether each backend and the store can be used."""
        return cast("list[FindingView]", self._transport.call("GET", f"{self._base}/findings"))

    @property
    def configuration(self) -> ConfigurationClient:
        from dstack_cloud.client.configuration import ConfigurationClient

        return ConfigurationClient(self._transport, self._base)

    def _secret(self, name: str) -> str:
        return f"{self._base}/secrets/{_segment(name)}"

    def _run(self, name: str) -> str:
        return f"{self._base}/runs/{_segment(name)}"


def _segment(name: str) -> str:
    """A name as one part of an address. Raises UsageError for what would lead elsewhere, or nowhere."""
    if not name:
        raise UsageError("the name is empty", "is a variable of your shell empty?")
    if "/" in name:
        raise UsageError(f"{name} is no name: it has a `/`", "`dstack ps -a` lists all runs, `dstack tags` all tags")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise UsageError(f"{name!r} is no name: it isn't UTF-8 text", None) from error

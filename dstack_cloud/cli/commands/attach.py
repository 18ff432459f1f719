"""`dstack attach`: the log and the ports of a run that goes on somewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli.application import RunOrJob, application
from dstack_cloud.cli.failures import say
from dstack_cloud.client import Client
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.errors import Conflict

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView

app = application()


@app.command()
def attach(
    name: RunOrJob,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Only the ports.")] = False,
) -> None:
    """Follow a run again: its log from the start, its ports on localhost. Ctrl+C leaves it, and the run goes on."""
    client = Client()
    run = client.run(name)
    if JobStatus(run["status"]).finished:
        raise Conflict(f"{run['name']} has ended already: {run['status']}", f"its log: `dstack logs {run['name']}`")
    raise typer.Exit(_follow(client, run, name, no_logs=no_logs))


def _follow(client: Client, run: RunView, name: str, *, no_logs: bool) -> int:
    """The job's own exit code; 0 for who has left."""
    from dstack_cloud.cli.attached import Screen, tell_end

    with Path(os.devnull).open("wb") as nowhere:
        screen = Screen(nowhere if no_logs else sys.stdout.buffer, client.access)
        try:
            ended = screen.show(client.follow(name), run)
        except KeyboardInterrupt:
            say(f"left {name}, which goes on: `dstack attach {name}` comes back, `dstack stop {name}` ends it")
            return 0
    return tell_end(ended)

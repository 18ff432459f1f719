"""`dstack logs`: the job's output, byte for byte."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from dstack_cloud.cli.application import RunOrJob, application
from dstack_cloud.cli.moments import moment
from dstack_cloud.client import Client

app = application()


@app.command()
def logs(
    name: RunOrJob,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep showing, until the run has ended.")] = False,
    since: Annotated[
        str | None, typer.Option("-s", "--since", metavar="TIME", help="From then on: 5m, 2h, 2025-06-01T12:00.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, metavar="N", help="Only of the N-th attempt.")
    ] = None,
) -> None:
    """Show the log of a run or job, from its start."""
    start = None if since is None else moment(since, now=time.time())
    for data in Client().logs(name, since=start, attempt=attempt, follow=follow):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

"""`dstack jobs`: the containers and process groups of runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dstack_cloud.cli import output, run_tables
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

app = application()


@app.command()
def jobs(
    run: Annotated[str | None, typer.Argument(metavar="RUN", show_default=False, help="Only this run's.")] = None,
    everything: Annotated[bool, typer.Option("-a", "--all", help="Of all runs, not only the unfinished ones.")] = False,
    last: Annotated[
        int | None, typer.Option("-n", "--last", min=1, max=1_000_000, metavar="N", help="Of the last N runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of the unfinished runs, else of the last one."""
    client = Client()
    runs = [client.run(run)] if run else client.runs(everything=everything, last=last)
    found = [job for view in runs for job in view["jobs"]]
    if as_json:
        output.print_json(found)
    elif found:
        run_tables.print_jobs(found)
    else:
        print("no jobs yet: `dstack run WORKFLOW` starts one", file=sys.stderr)

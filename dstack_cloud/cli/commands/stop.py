"""`dstack stop`: ends runs early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import Yes, application
from dstack_cloud.client import Client
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView

app = application()


@app.command()
def stop(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN|JOB", show_default=False, help="A run (shady-1) or job (shady-1.train)."),
    ] = None,
    abort: Annotated[bool, typer.Option("-a", "--abort", help="At once, without saving anything.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All unfinished runs.")] = False,
    yes: Yes = False,
) -> None:
    """Stop a run or job: it gets SIGTERM and a grace period, and its artifacts are saved."""
    if (name is not None) == everything:
        raise UsageError("what is to be stopped?", "name a run or job, or say --all")
    client = Client()
    if name is not None:
        run = client.run(name)
        names = [] if _ended(run) else [name]
        if not names:
            print(f"{run['name']} has ended already: {run['status']}")
    else:
        names = [run["name"] for run in client.runs() if not _ended(run)]
        if not names:
            print("nothing runs")
    if names:
        _stop(client, names, abort, yes)


def _stop(client: Client, names: list[str], abort: bool, yes: bool) -> None:
    verb = "Abort" if abort else "Stop"
    output.confirm(f"{verb} {', '.join(names)}?", yes=yes)
    for name in names:
        run = client.stop(name, abort=abort)
        print(f"{name}: {run['status'] if _ended(run) else 'aborting' if abort else 'stopping'}")


def _ended(run: RunView) -> bool:
    return JobStatus(run["status"]).finished

"""`dstack restart`: a run that has ended goes on, or begins anew."""

from __future__ import annotations

from typing import Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, Detach, RunName, Yes, application
from dstack_cloud.client import Client

app = application()


@app.command()
def restart(
    run: RunName,
    clear: Annotated[
        bool, typer.Option("--clear", help="All jobs, from the beginning: removes what they saved.")
    ] = False,
    detach: Detach = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start the jobs of a run again that didn't end well, with the artifacts that they saved."""
    from dstack_cloud.cli.following import start_again

    client = Client()
    if clear and (saved := client.artifacts(run)):
        total = output.size(sum(artifact["size"] for artifact in saved))
        output.confirm(f"Begin {run} anew, and remove {total} of artifacts?", yes=yes)
    started = start_again(client, lambda: client.restart(run, clear=clear), detach=detach, as_json=as_json)
    raise typer.Exit(started)

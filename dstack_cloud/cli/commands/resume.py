"""`dstack resume`: a job that has ended goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, Detach, Yes, application
from dstack_cloud.client import Client

app = application()

Job = Annotated[
    str, typer.Argument(metavar="JOB", show_default=False, help="A job (shady-1.train), or the run of a single one.")
]


@app.command()
def resume(job: Job, detach: Detach = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Start a job again that has ended: the same code and environment, and the artifacts that it saved."""
    # a call that detaches doesn't pay for what follows
    from dstack_cloud.cli.following import start_again

    client = Client()
    _, _, name = job.partition(".")
    chosen = [each for each in client.run(job.partition(".")[0])["jobs"] if name in ("", each["name"])]
    if [each["status"] for each in chosen] == ["done"] and (saved := client.artifacts(job)):
        total = output.size(sum(artifact["size"] for artifact in saved))
        output.confirm(f"{job} is done. Run it again, and let it replace {total} of artifacts?", yes=yes)
    raise typer.Exit(start_again(client, lambda: client.resume(job), detach=detach, as_json=as_json))

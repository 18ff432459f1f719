"""`dstack rm`: forgets a run."""

from __future__ import annotations

from dstack_cloud.cli import output
from dstack_cloud.cli.application import RunName, Yes, application
from dstack_cloud.client import Client

app = application()


@app.command()
def rm(run: RunName, yes: Yes = False) -> None:
    """Remove a finished run: its row, log and artifacts."""
    client = Client()
    found = client.run(run)
    saved = sum(artifact["size"] for artifact in client.artifacts(run))
    output.confirm(f"Remove {found['name']} ({found['status']}) with {output.size(saved)} of artifacts?", yes=yes)
    client.delete(found["name"])
    print(f"removed {found['name']}")

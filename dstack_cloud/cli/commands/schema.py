"""`dstack schema`: what editors need to complete and check workflow files."""

from __future__ import annotations

from dstack_cloud.cli import output
from dstack_cloud.cli.application import application
from dstack_cloud.client import Client

app = application()


@app.command()
def schema() -> None:
    """Print the JSON Schema of .dstack/workflows.yaml."""
    output.print_json(Client().schema())

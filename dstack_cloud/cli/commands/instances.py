"""`dstack instances`: the machines that may cost money."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dstack_cloud.cli import machine_tables, output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

app = application()


@app.command()
def instances(
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Only what carries our tag and belongs to no run; asks every cloud.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the machines that exist now. Orphans are terminated by themselves within a minute or two."""
    found = Client().instances(orphans=orphans)
    if as_json:
        output.print_json(found)
    elif not found:
        print("no orphans" if orphans else "no machines", file=sys.stderr)
    elif orphans:
        machine_tables.print_orphans(found)
    else:
        machine_tables.print_machines(found)

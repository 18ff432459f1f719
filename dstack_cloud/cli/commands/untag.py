"""`dstack untag`: takes a tag away."""

from __future__ import annotations

from typing import Annotated

import typer

from dstack_cloud.cli.application import application
from dstack_cloud.cli.commands.tags import take

app = application()


@app.command()
def untag(
    name: Annotated[str, typer.Argument(metavar="RUN|TAG", show_default=False, help="A run, or a tag of any runs.")],
) -> None:
    """Take the tag from a run, or a tag from all runs that have it."""
    take(name)

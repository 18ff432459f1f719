"""`dstack tag`: gives a run a tag."""

from __future__ import annotations

from dstack_cloud.cli.application import RunName, application
from dstack_cloud.cli.commands.tags import Tag, give

app = application()


@app.command()
def tag(run: RunName, tag: Tag) -> None:
    """Give a run a tag: a name for its outputs, to depend on."""
    give(run, tag)

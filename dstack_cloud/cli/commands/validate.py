"""`dstack validate`: checks workflow files without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.cli.failures import problem_line
from dstack_cloud.cli.sources import FOLDER, read_sources
from dstack_cloud.client import Client

app = application()


@app.command()
def validate(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder with .dstack in it.", show_default=False)
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Check the workflow files of a folder. Exit code 0: no problem, 2: problems."""
    folder = path.absolute()
    if folder.name == FOLDER:
        folder = folder.parent
    checked = Client().check(read_sources(folder))
    if as_json:
        output.print_json(checked)
    else:
        for problem in checked["problems"]:
            print(problem_line(problem))
        for warning in checked["warnings"]:
            output.warn(problem_line(warning))
        if not checked["problems"]:
            names = ", ".join(workflow["name"] for workflow in checked["workflows"]) or "none"
            print(f"no problems; workflows: {names}")
    if checked["problems"]:
        raise typer.Exit(2)

"""`dstack ps`: what runs, or ran last."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli import output, run_tables
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView

WATCH_SECONDS = 1.0

app = application()


@app.command()
def ps(
    everything: Annotated[bool, typer.Option("-a", "--all", help="All runs, not only the unfinished ones.")] = False,
    last: Annotated[
        int | None, typer.Option("-n", "--last", min=1, max=1_000_000, metavar="N", help="The last N runs.")
    ] = None,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Keep showing, until Ctrl+C.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Jobs, attempts, machines and reasons.")] = False,
    as_json: AsJson = False,
) -> None:
    """List runs: the unfinished ones, else the last one."""
    client = Client()

    def look() -> list[RunView]:
        return client.runs(everything=everything, last=last)

    if as_json:
        output.print_json(look())
    elif watch and sys.stdout.isatty():
        _watch(look, verbose)
    else:
        _show(look(), verbose)


def _show(runs: list[RunView], verbose: bool) -> None:
    if not runs:
        print("no runs yet: `dstack run WORKFLOW` starts one", file=sys.stderr)
    elif verbose:
        for run in runs:
            print("\n".join(run_tables.detail_lines(run)))
    else:
        run_tables.print_runs(runs)
        for note in run_tables.notes(runs):
            print(note)


def _watch(look: Callable[[], list[RunView]], verbose: bool) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def drawn(runs: list[RunView]) -> Group:
        if verbose:
            return Group(*(Text(line) for run in runs for line in run_tables.detail_lines(run)))
        return Group(run_tables.runs_table(runs), *(Text(note) for note in run_tables.notes(runs)))

    try:
        with Live(drawn(look()), console=output.console(), auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(drawn(look()), refresh=True)
    except KeyboardInterrupt:  # the way to end it, no failure
        return

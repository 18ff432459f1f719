"""`dstack prune`: frees room in the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli import moments, output
from dstack_cloud.cli.application import AsJson, Yes, application
from dstack_cloud.client import Client
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import CacheView

SUBCOMMANDS = ("cache",)

app = application("Remove what the store keeps.")


@app.callback()
def prune() -> None:
    """Remove what the store keeps."""


@app.command()
def cache(
    workflow: Annotated[
        str | None, typer.Argument(metavar="WORKFLOW", show_default=False, help="The workflow whose caches go.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all workflows.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only what was last saved, or a setup used, longer ago: 12h, 7d.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove the caches of a workflow, and what its setup made. Shows what and how much before it asks."""
    if bool(workflow) == everything:
        raise UsageError("whose caches?", "name a workflow, or say --all")
    before = None if older_than is None else _before(older_than)
    client = Client()
    entries = [entry for entry in client.cache(workflow)["entries"] if before is None or entry["modified_at"] < before]
    if entries and not as_json:
        _show(entries)
    if entries:
        total = output.size(sum(entry["size"] for entry in entries))
        output.confirm(f"Remove {output.count(len(entries), 'cache')}, {total}?", yes=yes)
        freed = client.prune_cache(workflow, older_than=before)
    else:
        freed = {"entries": [], "bytes": 0}
    if as_json:
        output.print_json(freed)
    else:
        print(f"freed {output.size(freed['bytes'])}" if freed["entries"] else "there is nothing to remove")


def _before(age: str) -> float:
    seconds = moments.seconds(age)
    if seconds is None:
        raise UsageError(f"`{age}` is no age", "say `12h`, `7d`, `2w`")
    return time.time() - seconds


def _show(entries: list[CacheView]) -> None:
    rows = [
        [entry["workflow"], entry["place"], output.size(entry["size"]), output.age(entry["modified_at"])]
        for entry in entries
    ]
    output.print_drawn(output.table(("WORKFLOW", "PLACE", "SIZE>", "SAVED"), rows))

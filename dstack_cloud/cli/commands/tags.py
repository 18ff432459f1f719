"""`dstack tags`, `dstack tag`, `dstack untag`: names for the outputs of runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, RunName, application
from dstack_cloud.client import Client

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import TagView

SUBCOMMANDS = ("list", "add", "delete")
DEFAULT = "list"
ALONE = True

app = application("Names for the outputs of runs, to depend on. `dstack tags` is short for `dstack tags list`.")

Tag = Annotated[str, typer.Argument(metavar="TAG", show_default=False, help="The tag's name.")]


@app.command("list")
def list_tags(as_json: AsJson = False) -> None:
    """List the tags, and the runs that have them."""
    tags = Client().tags()
    if as_json:
        output.print_json(tags)
    elif tags:
        rows = [
            [tag["tag"], tag["run"], tag["workflow"], output.age(tag["submitted_at"]), tag["status"]] for tag in tags
        ]
        output.print_drawn(output.table(("TAG", "RUN", "WORKFLOW", "SUBMITTED", "STATUS"), rows))
    else:
        print("no tags yet: `dstack tag RUN TAG`, or `dstack run -t TAG`", file=sys.stderr)


@app.command()
def add(tag: Tag, run: RunName) -> None:
    """Give a run a tag."""
    give(run, tag)


@app.command()
def delete(tag: Tag) -> None:
    """Take a tag from all runs that have it."""
    take(tag)


def give(run: str, tag: str) -> None:
    client = Client()
    before = client.run(run)["tag"]
    view = client.tag(run, tag)
    replaced = f" (instead of {before})" if before not in ("", tag) else ""
    print(f"{view['workflow']}:{tag} is {view['name']}{replaced}")


def take(name: str) -> None:
    had: list[TagView] = Client().untag(name)
    for each in had:
        print(f"{each['run']} isn't {each['workflow']}:{each['tag']} any more")

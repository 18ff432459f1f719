"""`dstack secrets`: values that every job of the project gets and nobody sees."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, Yes, application
from dstack_cloud.cli.values import read_value
from dstack_cloud.client import Client
from dstack_cloud.domain.secrets import check_name, unknown
from dstack_cloud.errors import Conflict

SUBCOMMANDS = ("list", "add", "update", "delete")

app = application("Keep secrets. Each is an environment variable of every job; nothing ever shows its value.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="As the job's environment has it.")]
Value = Annotated[
    str | None,
    typer.Argument(
        metavar="VALUE", show_default=False, help="Better not here: without it you are asked, or stdin is read."
    ),
]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the names."""
    found = Client().secrets()
    if as_json:
        output.print_json(found)
    elif not found:
        print("no secrets yet: `dstack secrets add NAME` adds one", file=sys.stderr)
    else:
        rows = [[secret["name"], output.age(secret["updated_at"])] for secret in found]
        output.print_drawn(output.table(("SECRET", "UPDATED"), rows))


@app.command()
def add(name: Name, value: Value = None) -> None:
    """Add one. Its value is asked for, or read from stdin where that is no terminal."""
    check_name(name)
    client = Client()
    if name in _names(client):
        raise Conflict(f"the project has a secret {name} already", f"`dstack secrets update {name}` changes it")
    client.add_secret(name, read_value(f"Value of {name}", value, f"dstack secrets update {name}"))
    print(f"added {name}: jobs that start from now on have it")


@app.command()
def update(name: Name, value: Value = None) -> None:
    """Give one another value."""
    client = Client()
    if name not in (known := _names(client)):
        raise unknown(name, known)
    client.update_secret(name, read_value(f"Value of {name}", value, f"dstack secrets update {name}"))
    print(f"updated {name}: jobs that start from now on have the new value")


@app.command()
def delete(name: Name, yes: Yes = False) -> None:
    """Delete one."""
    client = Client()
    if name not in (known := _names(client)):
        raise unknown(name, known)
    output.confirm(f"Delete the secret {name}?", yes=yes)
    client.delete_secret(name)
    print(f"deleted {name}")


def _names(client: Client) -> list[str]:
    return [secret["name"] for secret in client.secrets()]

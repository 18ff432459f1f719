"""`dstack ssh`: a shell, or a command, inside a job that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli.application import RunOrJob, application
from dstack_cloud.client import Client, entering
from dstack_cloud.client.ways import Ways, trust_in
from dstack_cloud.errors import Conflict, UsageError
from dstack_cloud.ssh import openssh
from dstack_cloud.ssh.endpoint import parse_endpoint
from dstack_cloud.ssh.pool import Connections

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import AccessView

TAKES_REST = True

app = application()


@app.command()
def ssh(
    context: typer.Context,
    name: RunOrJob,
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND]", show_default=False)] = None,
    host: Annotated[bool, typer.Option("--host", help="On the machine, not in the job's container.")] = False,
) -> None:
    """A shell inside a running job, or one command; its exit code is this one's.

    One word is a line for a shell ('ls | wc -l'), several are a program and its arguments, exactly.
    """
    client = Client()
    view = _the_job(client, name)
    words = [*(command or []), *context.obj]
    terminal = sys.stdin.isatty() and (sys.stdout.isatty() or not words)
    if view["endpoint"]:
        raise typer.Exit(_on_its_machine(client.home, view, words, host=host, terminal=terminal))
    if host:
        raise UsageError(f"{name} runs on this computer: there is no other machine", "leave --host out")
    raise typer.Exit(_here(client.home, view, words, terminal=terminal))


def _the_job(client: Client, name: str) -> AccessView:
    views = client.access(name)
    if not views:
        run = client.run(name)
        waits = "; ".join(job["message"] for job in run["jobs"] if job["message"])
        raise Conflict(f"nothing of {name} runs now: it is {run['status']}{f' ({waits})' if waits else ''}")
    if len(views) > 1:
        names = ", ".join(f"{name}.{view['job']}" for view in views)
        raise UsageError(f"{name} has several jobs", f"name one: {names}")
    return views[0]


def _here(home: Path, view: AccessView, words: list[str], *, terminal: bool) -> int:
    if view["container"]:
        return _call(["sh", "-c", entering.in_container(view["attempt"], words, terminal=terminal)])
    # as backends.local lays it out
    place = home / "runners" / view["attempt"]
    if not place.is_dir():
        raise Conflict("the job runs on the computer of the server, which isn't this one")
    environment = {**os.environ, "HOME": str(place / "home")}
    return _call(entering.words_for(words), cwd=place / "work" / view["folder"], env=environment)


def _on_its_machine(home: Path, view: AccessView, words: list[str], *, host: bool, terminal: bool) -> int:
    inside = view["container"] and not host
    line = entering.in_container(view["attempt"], words, terminal=terminal) if inside else entering.on_machine(words)
    endpoint, trust = parse_endpoint(view["endpoint"]), trust_in(view)
    connections, ways = Connections(), Ways(home)
    try:
        if openssh.program() is None:
            return connections.get(view["endpoint"], trust).interact(line, terminal=terminal)
        if not openssh.usable(trust):
            trust = connections.get(view["endpoint"], trust).shown
        config = ways.add([view["attempt"]], endpoint, trust)
        flags = ["-F", str(config), "-t" if terminal else "-T", "-o", "LogLevel=ERROR"]
        return _call([openssh.program() or "ssh", *flags, view["attempt"], *([line] if line else [])])
    finally:
        connections.close()
        ways.close()


def _call(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Its exit code. Ctrl+C is for what runs there, not for us."""
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        code = subprocess.call(command, cwd=cwd, env=env)
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - code if code < 0 else code

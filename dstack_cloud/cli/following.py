"""A run that was just started, or started again, shown to its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from dstack_cloud.cli import output, run_tables
from dstack_cloud.cli.attached import Screen, tell_end
from dstack_cloud.cli.failures import say
from dstack_cloud.cli.interrupts import Interrupts
from dstack_cloud.client import Client
from dstack_cloud.errors import DstackError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import ResumedView, RunView
    from dstack_cloud.client.follow import Frame

Watch: TypeAlias = "Callable[[Iterator[Frame]], Iterator[Frame]]"


def follow_started(
    client: Client,
    start: Callable[[], ResumedView],
    *,
    log: BinaryIO,
    quiet: bool = False,
    watch: Watch = lambda frames: frames,
) -> RunView:
    """The log goes to `log`; what is shown passes through `watch`."""
    with Interrupts() as interrupts:
        started = start()
        run = started["run"]
        interrupts.ready(lambda abort: _request_stop(client, run["name"], abort))
        if not quiet:
            _introduce(run)
        return Screen(log, client.access).show(watch(client.follow(run["name"], started["logged"])), run)


def _introduce(run: RunView) -> None:
    """The run, and what it takes of others instead of doing it again."""
    output.print_drawn(output.table(run_tables.RUN_COLUMNS, [run_tables.run_row(run)]), sys.stderr)
    for job in run["jobs"]:
        if used := run_tables.used_text(job):
            say(f"{job['id']} {used}")


def start_again(client: Client, start: Callable[[], ResumedView], *, detach: bool, as_json: bool) -> int:
    """What `resume` and `restart` do; the exit code, as of `run`."""
    if detach:
        run = start()["run"]
        if as_json:
            output.print_json(run)
        else:
            print(run["name"])
        return 0
    log = sys.stderr.buffer if as_json else sys.stdout.buffer
    ended = follow_started(client, start, log=log, quiet=as_json)
    code = tell_end(ended)
    if as_json:
        output.print_json(ended)
    return code


def _request_stop(client: Client, name: str, abort: bool) -> None:
    from dstack_cloud.cli.failures import report

    try:
        client.stop(name, abort=abort)
    except DstackError as error:
        report(error)

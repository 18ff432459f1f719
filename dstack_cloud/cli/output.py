"""How things look: tables, ages, durations, sizes, prices."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNLIMITED = 10_000  # columns where nobody looks at the screen's edge: nothing is cut in a pipe
STATUS_STYLES = {
    "done": "green",
    "running": "bold green",
    "failed": "red",
    "stopped": "yellow",
    "aborted": "yellow",
    "stopping": "yellow",
    "aborting": "yellow",
}


def console(file: TextIO | None = None) -> Console:
    """Colours only on a terminal and without NO_COLOR; as wide as the terminal, or without limit."""
    from rich.console import Console

    file = file or sys.stdout
    return Console(file=file, highlight=False, width=None if file.isatty() else _UNLIMITED)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A column whose name ends in `>` is aligned to the right. Statuses get their colour."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        right = column.endswith(">")
        grid.add_column(
            column.rstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=column == columns[0]
        )
    for row in rows:
        grid.add_row(*(Text(cell, style=STATUS_STYLES.get(cell.split(" ")[0], "")) for cell in row))
    return grid


def print_drawn(drawing: Table, file: TextIO | None = None) -> None:
    """Without the spaces that pad the last column."""
    screen = console(file)
    with screen.capture() as drawn:
        screen.print(drawing)
    for line in drawn.get().splitlines():
        print(line.rstrip(), file=file or sys.stdout)
    (file or sys.stdout).flush()


def plain(text: str) -> Text:
    """Text that rich takes as it is, square brackets and all."""
    from rich.text import Text

    return Text(text)


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Returns if the answer is yes. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"nobody is there to answer: {question}", "-y answers with yes")
    import typer

    typer.confirm(question, abort=True, err=True)


def age(then: float, now: float | None = None) -> str:
    """How long ago, in one unit: `now`, `40 sec ago`, `3 hours ago`."""
    seconds = max(0, int((time.time() if now is None else now) - then))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "min"), (1, "sec")):
        if seconds >= size:
            count = seconds // size
            plural = "s" if count > 1 and unit in ("day", "hour") else ""
            return f"{count} {unit}{plural} ago"
    return "now"


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m 05s`, `2h 05m`, `3d 04h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def size(number: float) -> str:
    """Bytes in powers of 1024: `812 B`, `3.1 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def count(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def hourly(dollars: float | None) -> str:
    """A machine's price as people read it."""
    return "unknown" if dollars is None else f"{money(dollars)}/h"


def money(dollars: float | None) -> str:
    """`?` where the price isn't known; never 0 for unknown."""
    if dollars is None:
        return "?"
    return f"${dollars:.2f}" if dollars >= 0.01 or dollars == 0 else f"${dollars:.4f}"

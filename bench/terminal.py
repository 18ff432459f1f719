"""A real terminal to attach a command to, read with the time at which each line came."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.harness import DSTACK, Place

# ECMA-48 control sequences: colours, moves of the cursor, erasing a line
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Line:
    """`at` is seconds since the epoch, when the line's end had reached the terminal; `text` is without colours and the like."""

    at: float
    text: str


@dataclass(frozen=True)
class Session:
    """A command from enter to prompt. Times are seconds since the epoch."""

    started_at: float
    ended_at: float
    exit_code: int
    lines: list[Line]

    def first(self, text: str) -> float:
        """Seconds from enter to the first line that is `text`."""
        for line in self.lines:
            if line.text.strip() == text:
                return line.at - self.started_at
        raise SystemExit(f"no line {text!r} came:\n" + "\n".join(line.text for line in self.lines))


def attach(here: Place, arguments: Sequence[str]) -> Session:
    """`dstack ARGUMENTS` on a terminal of its own, until it ends."""
    ours, theirs = pty.openpty()
    started_at = time.time()
    process = subprocess.Popen(
        [DSTACK, *arguments], env=here.environment, cwd=here.project, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    lines, rest = [], b""
    # the terminal answers "input/output error" once nobody holds its other end
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            *whole, rest = (rest + chunk).split(b"\n")
            at = time.time()
            lines += [Line(at, CONTROL.sub(b"", line).decode(errors="replace")) for line in whole]
    os.close(ours)
    return Session(started_at, time.time(), process.wait(), lines)

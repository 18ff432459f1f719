"""Timing whole processes: pairs in turn, medians, ratios, one table.

Other work on a shared computer slows both of a pair alike, so a ratio can be trusted where seconds can't.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# the interpreter itself: a version manager's shim takes ten times as long to start
PYTHON = sys.executable
DSTACK = str(Path(sys.executable).with_name("dstack"))


@dataclass(frozen=True)
class Figure:
    """One row of the table. `measured` and `goal` in `unit`; smaller is better."""

    name: str
    measured: float
    goal: float
    unit: str
    note: str = ""

    @property
    def row(self) -> str:
        verdict = "yes" if self.measured <= self.goal else "**no**"
        return f"| {self.name} | {_number(self.goal)} {self.unit} | {_number(self.measured)} {self.unit} | {verdict} | {self.note} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def show(figures: Sequence[Figure]) -> None:
    print("| figure | goal ≤ | measured | met | note |\n| --- | --- | --- | --- | --- |")
    for figure in figures:
        print(figure.row)
    print(flush=True)


@dataclass(frozen=True)
class Pair:
    """Seconds of A and B, run in turn."""

    a: list[float] = field(default_factory=list)
    b: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.a) / statistics.median(self.b)

    def __str__(self) -> str:
        return f"{statistics.median(self.a) * 1000:.0f} ms against {statistics.median(self.b) * 1000:.0f} ms"


def paired(a: Callable[[], object], b: Callable[[], object], rounds: int) -> Pair:
    """Both once unmeasured, then A B A B …"""
    a(), b()
    pair = Pair()
    for _ in range(rounds):
        pair.a.append(timed(a))
        pair.b.append(timed(b))
    return pair


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(work: Callable[[], object], rounds: int) -> float:
    """Seconds, after one unmeasured call."""
    work()
    return statistics.median(timed(work) for _ in range(rounds))


@dataclass(frozen=True)
class Place:
    """A state folder and a project of its own, with the server's process, for one benchmark."""

    home: Path
    project: Path
    environment: Mapping[str, str]

    def call(self, *arguments: str) -> str:
        """The output of `dstack ARGUMENTS` in the project."""
        done = subprocess.run(
            [DSTACK, *arguments], env=self.environment, cwd=self.project, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"dstack {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def place(workflows: str = "", **settings: str) -> Iterator[Place]:
    """Removed at the end, and its server stopped. `settings` go into the environment."""
    folder = Path(tempfile.mkdtemp(prefix="dstack-bench-"))
    project = folder / "project"
    (project / ".dstack").mkdir(parents=True)
    (project / ".dstack" / "workflows.yaml").write_text(workflows)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DSTACK_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    here = Place(folder / "home", project, {**inherited, "DSTACK_HOME": str(folder / "home"), **settings})
    try:
        yield here
    finally:
        subprocess.run([DSTACK, "stop", "--all", "-a", "-y"], env=here.environment, capture_output=True, check=False)
        _await_no_machines(here)
        subprocess.run([DSTACK, "server", "stop"], env=here.environment, capture_output=True, check=False)
        shutil.rmtree(folder)


def _await_no_machines(here: Place) -> None:
    """What a benchmark that failed left running must not outlive its state folder."""
    deadline = time.monotonic() + 30.0
    keys = here.home / "keys"
    while keys.exists() and any(keys.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)

"""What an unchanged `setup` costs a job that gets its result: `.venv/bin/python -m bench.setup`.

The setup installs JupyterLab with all that it needs (about 100 packages, 17,000 files), once. Then runs with it and without it take turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.harness import Figure, Place, place, show
from bench.terminal import attach
from dstack_cloud.runner_bootstrap.payload.engine import Engine

ROUNDS = 5
GOAL = 1.0
INSTALL = "pip install --quiet --ignore-installed jupyterlab"
WORKFLOWS = f"""
workflows:
  - name: without
    commands: [echo hi-there]
  - name: with
    setup: ["{INSTALL}"]
    commands: [echo hi-there]
"""


def main() -> None:
    show([in_processes(), *in_containers()])


def in_processes() -> Figure:
    with place(WORKFLOWS, DSTACK_LOCAL_MODE="process") as here:
        return later(here, "as processes", [], ROUNDS)


def in_containers() -> list[Figure]:
    if not Engine().available():
        return []
    with place(WORKFLOWS, DSTACK_LOCAL_MODE="docker") as here:
        try:
            same = later(here, "in a container of this computer", [], ROUNDS)
            return [same, later(here, "on another sandbox machine each time", ["--backend", "sandbox"], 3)]
        finally:
            here.call("prune", "cache", "--all", "-y")


def later(here: Place, where: str, options: Sequence[str], rounds: int) -> Figure:
    run(here, "with", options)
    run(here, "without", options)
    pairs = [(run(here, "with", options), run(here, "without", options)) for _ in range(rounds)]
    have, lack = (statistics.median(each) for each in zip(*pairs, strict=True))
    note = f"median of {rounds}: first line after {have:.2f} s, {lack:.2f} s without"
    return Figure(f"an unchanged setup, {where}: its commands start later by", have - lack, GOAL, "s", note)


def run(here: Place, workflow: str, options: Sequence[str]) -> float:
    """Seconds from enter to the commands' first line."""
    session = attach(here, ["run", workflow, *options])
    if session.exit_code:
        raise SystemExit("\n".join(line.text for line in session.lines))
    return session.first("hi-there")


if __name__ == "__main__":
    main()

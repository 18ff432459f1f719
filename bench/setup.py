"""What an unchanged `setup` costs a job that gets its result: `.venv/bin/python -m bench.setup`.

The setup installs JupyterLab with all that it needs (about 100 packages, 17,000 files), once. Then runs with it and without it take turns;
where it comes from the store, so does what the link and the disk take alone: the same bytes through `dstack ssh` into `tar` on a machine,
and a setup of one small package, which says what the way costs without its bytes.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.harness import DSTACK, Figure, Place, place, show, timed
from bench.terminal import attach
from dstack_cloud.runner_bootstrap.payload.engine import Engine

ROUNDS = 5
GOAL = 1.0
INSTALL = "pip install --quiet --ignore-installed"
WORKFLOWS = f"""
workflows:
  - name: without
    commands: [echo hi-there]
  - name: with
    setup: ["{INSTALL} jupyterlab"]
    commands: [echo hi-there]
  - name: small
    setup: ["{INSTALL} rich"]
    commands: [echo hi-there]
  - name: waiting
    commands: [sleep 3600]
"""
SANDBOX = ("--backend", "sandbox")
# where a machine's engine has its layers
UNPACKED = "/var/lib/docker/dstack-bench"


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
            return [same, *on_other_machines(here, 3)]
        finally:
            here.call("prune", "cache", "--all", "-y")


def later(here: Place, where: str, options: Sequence[str], rounds: int, workflow: str = "with") -> Figure:
    run(here, workflow, options)
    run(here, "without", options)
    pairs = [(run(here, workflow, options), run(here, "without", options)) for _ in range(rounds)]
    have, lack = (statistics.median(each) for each in zip(*pairs, strict=True))
    note = f"median of {rounds}: first line after {have:.2f} s, {lack:.2f} s without"
    return Figure(f"an unchanged setup, {where}: its commands start later by", have - lack, GOAL, "s", note)


def on_other_machines(here: Place, rounds: int) -> list[Figure]:
    for workflow in ("with", "without"):
        run(here, workflow, SANDBOX)
    small = later(here, "of one small package, on another sandbox machine each time", SANDBOX, rounds, "small")
    packed = max((here.home / "store").rglob("setup-*.tar.zst"), key=lambda each: each.stat().st_size)
    machine = here.call("run", "waiting", "-d", *SANDBOX).split()[-1]
    while '"running"' not in here.call("ps", "--json"):
        pass
    have, lack, alone = zip(*(others(here, machine, packed) for _ in range(rounds)), strict=True)
    more = statistics.median(have) - statistics.median(lack)
    limit = statistics.median(alone)
    size = f"{packed.stat().st_size / 1e6:.0f} MB packed"
    note = (
        f"median of {rounds}: first line after {statistics.median(have):.2f} s, {statistics.median(lack):.2f} s without"
    )
    name = "on another sandbox machine each time"
    return [
        small,
        Figure(f"an unchanged setup, {name}: its commands start later by", more, GOAL, "s", note),
        Figure(f"the same, against its bytes ({size}) through SSH into tar", more / limit, 1.5, "×", f"{limit:.2f} s"),
    ]


def others(here: Place, machine: str, packed: Path) -> tuple[float, float, float]:
    """Seconds with it, without it, and of the same bytes alone."""
    have, lack = run(here, "with", SANDBOX), run(here, "without", SANDBOX)
    on_machine(here, machine, f"sudo rm -rf {UNPACKED}; sudo mkdir {UNPACKED}")
    return have, lack, timed(lambda: on_machine(here, machine, f"sudo tar -x -p -I zstd -C {UNPACKED} -f -", packed))


def on_machine(here: Place, machine: str, line: str, source: Path = Path("/dev/null")) -> None:
    command = [DSTACK, "ssh", machine, "--host", "--", line]
    with source.open("rb") as given:
        subprocess.run(command, stdin=given, env=here.environment, cwd=here.project, check=True)


def run(here: Place, workflow: str, options: Sequence[str]) -> float:
    """Seconds from enter to the commands' first line."""
    session = attach(here, ["run", workflow, *options])
    if session.exit_code:
        raise SystemExit("\n".join(line.text for line in session.lines))
    return session.first("hi-there")


if __name__ == "__main__":
    main()

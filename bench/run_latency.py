"""How soon a run is felt: `.venv/bin/python -m bench.run_latency`."""

from __future__ import annotations

import re
import statistics

from bench.harness import Figure, Place, place, show
from bench.terminal import Session, attach

ROUNDS = 7
LINES = 50
WORKFLOWS = f"""
workflows:
  - name: hi
    provider: bash
    commands:
      - echo hi-there
  - name: lines
    provider: bash
    commands:
      - |
        python3 - <<'END'
        import time
        for _ in range({LINES}):
            print("written at", time.time(), flush=True)
            time.sleep(0.05)
        END
"""


def main() -> None:
    with place(WORKFLOWS, DSTACK_LOCAL_MODE="process") as here:
        show([*enter_to_end(here), line_to_terminal(here)])


def enter_to_end(here: Place) -> list[Figure]:
    run(here, "hi")
    sessions = [run(here, "hi") for _ in range(ROUNDS)]
    first = statistics.median(session.first("hi-there") for session in sessions)
    whole = statistics.median(session.ended_at - session.started_at for session in sessions)
    return [
        Figure("`dstack run` of `echo hi`: enter → first log line", first, 0.7, "s", "process mode, server warm"),
        Figure("`dstack run` of `echo hi`: whole command", whole, 1.5, "s", "process mode, server warm"),
    ]


def line_to_terminal(here: Place) -> Figure:
    lines = run(here, "lines").lines
    written = [(line.at, match) for line in lines if (match := re.search(r"written at ([\d.]+)", line.text))]
    delays = [(at - float(match[1])) * 1000 for at, match in written]
    if len(delays) != LINES:
        raise SystemExit(f"{len(delays)} of {LINES} lines came")
    worst = f"median of {LINES} lines; the slowest {max(delays):.0f} ms"
    return Figure("log line written → attached terminal", statistics.median(delays), 100, "ms", worst)


def run(here: Place, workflow: str) -> Session:
    session = attach(here, ["run", workflow, "--backend", "local"])
    if session.exit_code:
        raise SystemExit("\n".join(line.text for line in session.lines))
    return session


if __name__ == "__main__":
    main()

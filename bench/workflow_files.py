"""Large workflow files: `.venv/bin/python -m bench.workflow_files`."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from bench.harness import Figure, Place, median, place, show
from dstack_cloud.api import schemas
from dstack_cloud.domain import parsing, providers
from dstack_cloud.server.process import settle
from dstack_cloud.server.wiring import wire
from dstack_cloud.services import workflows as planner

COUNT = 500
ROUNDS = 9
HELP_ROUNDS = 15


def workflows(count: int, resources: str = "{memory: 8GB, gpu: V100}") -> str:
    """Each with variables of its own, and depending on the one before."""
    lines = ["workflows:"]
    for number in range(count):
        lines += [
            f"  - name: step-{number}",
            f"    help: Step {number} of many",
            "    commands:",
            '      - python step.py --model "$model" $variables_as_args',
            "      - echo ${{ run.name }} ${{ rate }}",
            f"    artifacts: [out/{number}]",
            f"    resources: {resources}",
        ]
        if number:
            lines.append(f"    deps: [step-{number - 1}]")
    return "\n".join(lines) + "\n"


def variables(count: int) -> str:
    lines = ["variables:", "  global: {model: 124M, folder: models}"]
    for number in range(count):
        lines += [f"  step-{number}:", "    rate: 0.00002", f"    batch-size: {number}", "    optimizer: adam"]
    return "\n".join(lines) + "\n"


def main() -> None:
    figures = [
        Figure(
            f"{COUNT} workflows with variables and dependencies: read, and a run of one planned", planning(), 0.3, "s"
        ),
        Figure(f"the same, and all {COUNT} planned, each behind the one before", chain(), 0.3, "s"),
    ]
    with place(DSTACK_LOCAL_MODE="process") as here:
        figures.append(Figure("`dstack run NAME --help`, server warm", helping(here, 1), 0.25, "s"))
        figures.append(Figure(f"the same among {COUNT} workflows", helping(here, COUNT), 0.25, "s"))
    show(figures)


def planning() -> float:
    """Seconds, within a process."""
    files = [(".dstack/workflows.yaml", workflows(COUNT)), (".dstack/variables.yaml", variables(COUNT))]

    def plan() -> None:
        checked = parsing.check(files)
        assert not checked.problems
        workflow = parsing.find(checked.workflows, "step-0")
        values = checked.variables.overridden("step-0", {"rate": "1"}).values("step-0", run_name="shady-1")
        providers.job_specs(workflow, values)
        providers.confidential(workflow, values, {})

    return median(plan, ROUNDS)


def chain() -> float:
    """Seconds, within a process: what the server does for `dstack run step-499 --dry-run`, with files that it hasn't read before."""
    os.environ["DSTACK_LOCAL_MODE"] = "process"
    text, counter = workflows(COUNT, "{memory: 512MB}"), itertools.count()
    with tempfile.TemporaryDirectory() as home:
        server = wire(Path(home))
        settle()

        def plan() -> None:
            request: schemas.RunRequest = {
                "files": [
                    {"path": ".dstack/workflows.yaml", "text": f"{text}# {next(counter)}\n"},
                    {"path": ".dstack/variables.yaml", "text": variables(COUNT)},
                ],
                "workflow": f"step-{COUNT - 1}",
                "variables": {"rate": "1"},
                "args": [],
                "env": {},
                "tag": "",
                "overrides": {},
                # as where the working folder is known: what is there already is looked for
                "code": {"sha256": "0" * 64, "size": 1, "files": 1},
                "contents": {".": "0"},
                "local_python": "",
            }
            made = planner.plan_run(server.context, server.context.default_project, request)
            assert len(planner.plan_view(made)["jobs"]) == COUNT

        return median(plan, ROUNDS)


def helping(here: Place, count: int) -> float:
    (here.project / ".dstack" / "workflows.yaml").write_text(workflows(count))
    (here.project / ".dstack" / "variables.yaml").write_text(variables(count))
    return median(lambda: here.call("run", "step-0", "--help"), HELP_ROUNDS)


if __name__ == "__main__":
    main()

"""Large workflow files: `.venv/bin/python -m bench.workflow_files`."""

from __future__ import annotations

from bench.harness import Figure, Place, median, place, show
from dstack_cloud.domain import parsing, providers

COUNT = 500
ROUNDS = 9
HELP_ROUNDS = 15


def workflows(count: int) -> str:
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
            "    resources: {memory: 8GB, gpu: V100}",
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
        )
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


def helping(here: Place, count: int) -> float:
    (here.project / ".dstack" / "workflows.yaml").write_text(workflows(count))
    (here.project / ".dstack" / "variables.yaml").write_text(variables(count))
    return median(lambda: here.call("run", "step-0", "--help"), HELP_ROUNDS)


if __name__ == "__main__":
    main()

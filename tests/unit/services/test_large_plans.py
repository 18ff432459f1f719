"""Runs of many jobs are planned whole, however they hang together, and whatever they are called."""

from __future__ import annotations

import pytest

from dstack_cloud.services import workflows
from tests.unit.services.office import Office, request

COUNT = 1200


def files(deps: dict[int, list[int]], command: str = "echo it") -> list[dict[str, str]]:
    lines = [
        f"  - {{name: s-{number}, commands: ['{command}'], deps: [{', '.join(f's-{each}' for each in of)}]}}"
        for number, of in deps.items()
    ]
    return [{"path": ".dstack/workflows.yaml", "text": "\n".join(["workflows:", *lines, ""])}]


def test_a_chain_deeper_than_pythons_recursion(office: Office) -> None:
    asked = request(files=files({n: [n - 1] if n else [] for n in range(COUNT)}), workflow=f"s-{COUNT - 1}")
    jobs = workflows.plan_run(office.context, "main", asked).jobs
    assert [job.workflow.name for job in jobs] == [f"s-{n}" for n in range(COUNT)]
    assert [[need.job for need in job.needs] for job in jobs[1:]] == [[f"s-{n}"] for n in range(COUNT - 1)]


def test_one_that_needs_all_others(office: Office) -> None:
    asked = request(
        files=files({n: [] if n < COUNT else [*range(COUNT)] for n in range(COUNT + 1)}), workflow=f"s-{COUNT}"
    )
    jobs = workflows.plan_run(office.context, "main", asked).jobs
    assert [need.job for need in jobs[-1].needs] == [f"s-{n}" for n in range(COUNT)]
    assert len(jobs) == COUNT + 1


@pytest.mark.parametrize("command", ["echo ${{ run.name }}", "echo $run_name", "echo $job_id", "echo it"])
def test_what_a_run_is_called_makes_no_other_job_of_it(office: Office, command: str) -> None:
    asked = request(files=files({0: []}, command), workflow="s-0")
    first, second = (
        workflows.plan_run(office.context, "main", asked, run_name=name).jobs[0] for name in ("a-1", "b-2")
    )
    assert first.step.fingerprint == second.step.fingerprint
    assert (first.spec.commands == second.spec.commands) == (command == "echo it")

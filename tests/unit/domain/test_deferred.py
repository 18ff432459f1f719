"""Variables that stand for a port, a size, a count, a price or a time."""

from __future__ import annotations

from textwrap import dedent

import pytest

from dstack_cloud.domain import parsing
from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.parsing.dumping import dump
from dstack_cloud.domain.providers.specs import job_specs
from dstack_cloud.errors import ConfigurationError
from tests.unit.domain.reading import FILE

WORKFLOWS = """
workflows:
  - name: train
    commands: [echo hi]
    python: ${{ python }}
    ports: ["${{ port }}", "9000:${{ local }}"]
    max_duration: ${{ long }}
    resources:
      cpu: $cores
      memory: ${{ memory }}
      gpu: {name: V100, count: "${{ gpus }}"}
      max_price: ${{ price }}
      regions: [eu-west-1]
"""
VARIABLES = """
variables:
  train: {python: 3.10, port: 8000, local: 9001, long: 2h, cores: 4, memory: 16GB, gpus: 2, price: 0.5}
"""


def checked(variables: str = VARIABLES) -> parsing.Checked:
    return parsing.check([(FILE, dedent(WORKFLOWS)), (".dstack/variables.yaml", dedent(variables))])


def spec(**given: str) -> JobSpec:
    found = checked()
    assert found.problems == []
    values = found.variables.overridden("train", given).values("train", run_name="run-1")
    return job_specs(found.workflows[0], values)[0]


def test_each_is_read_as_if_its_value_stood_there() -> None:
    found = spec()
    assert [(port.app, port.local) for port in found.ports] == [(8000, 8000), (9000, 9001)]
    assert (found.python, found.max_duration) == ("3.10", 7200)
    wanted = found.requirements
    assert (wanted.cpu, wanted.memory, wanted.max_price) == (4, 16_000_000_000, 0.5)
    assert wanted.gpu is not None
    assert (wanted.gpu.name, wanted.gpu.count, wanted.regions) == ("V100", 2, ("eu-west-1",))


def test_a_value_of_the_command_line_counts() -> None:
    assert spec(memory="32GB", gpus="0").requirements.memory == 32_000_000_000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("memory", "lots", f"`resources.memory` isn't right: `lots` isn't a size ({FILE}:10)"),
        ("gpus", "x", "`resources.gpu`, `count` must be a whole number from 0 to 1024, found the text `x` ("),
        ("port", "70000", "`ports`, `[0]` has the port 70000; ports go from 1 to 65535 ("),
        ("cores", "", f"`resources.cpu` must be a whole number from 1 to 100000, found nothing ({FILE}:9)"),
    ],
)
def test_a_value_that_can_not_be_is_told_with_its_place(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        spec(**{name: value})
    assert said in refused.value.summary


def test_a_default_that_can_not_be_is_a_mistake_of_the_file() -> None:
    [problem] = checked(VARIABLES.replace("16GB", "lots")).problems
    assert (problem.file, problem.line, problem.where) == (FILE, 10, "workflows[0].resources.memory")
    assert "`lots` isn't a size" in problem.text


def test_a_default_that_is_empty_is_given_later() -> None:
    assert checked(VARIABLES.replace("16GB", "''")).problems == []


def test_a_name_that_is_not_there_is_told_as_everywhere() -> None:
    [problem] = checked(VARIABLES.replace("memory: 16GB, ", "")).problems
    assert "`${{ memory }}` names nothing that is known" in problem.text


def test_they_are_written_as_they_were_read() -> None:
    [before] = checked().workflows
    [after] = parsing.check([(FILE, dump([before])), (".dstack/variables.yaml", dedent(VARIABLES))]).workflows
    assert after.model_dump(exclude={"line", "lines"}) == before.model_dump(exclude={"line", "lines"})
    assert before.deferred["resources.memory"] == "${{ memory }}"

"""Every way in which the documents of the years write a file."""

from __future__ import annotations

import pytest

from dstack_cloud.domain.jobs import PortMapping
from dstack_cloud.domain.parsing.model import Dependencies, Dependency
from dstack_cloud.domain.resources import SpotPolicy
from tests.unit.domain.reading import check, workflow

FIRST_DIALECT = """
        workflows:
          - name: fetch
            image: python:3.9
            commands:
              - python fetch.py $size
            depends-on:
              repo:
                include:
                  - fetch.py
                  - lib/words.py
            artifacts:
              - corpus/$size
          - name: tune
            image: python:3.9
            depends-on:
              workflows:
                - fetch
            commands:
              - python tune.py --run $job_id $config_args
"""


def test_a_file_of_the_first_dialect() -> None:
    checked = check(FIRST_DIALECT)
    assert checked.problems == []
    fetch, tune = checked.workflows
    assert (fetch.provider, fetch.deps.include) == ("docker", ("fetch.py", "lib/words.py"))
    assert (fetch.artifacts[0].path, fetch.commands) == ("corpus/$size", ("python fetch.py $size",))
    assert tune.deps == Dependencies(on=(Dependency(how="run", workflow="fetch"),))


def test_a_file_with_providers_and_tags() -> None:
    checked = check("""
        workflows:
          - name: fetch
            help: "Gets the corpus"
            provider: python
            script: "fetch.py"
            version: 3.10
            environment: [SIZE=small]
            artifacts: ["corpus"]
          - name: tune
            depends-on:
              - fetch:newest
            provider: torchrun
            file: "tune.py"
            args: ["--lr", 0.00002]
            requirements: reqs.txt
            resources: {gpu: 1}
    """)
    assert checked.problems == []
    fetch, tune = checked.workflows
    assert (fetch.python, fetch.options, fetch.env) == ("3.10", {"file": "fetch.py"}, {"SIZE": "small"})
    assert tune.deps.on == (Dependency(how="tag", workflow="fetch", tag="newest"),)
    assert tune.options == {"file": "tune.py", "args": ("--lr", "0.00002"), "requirements": "reqs.txt"}


NEWEST_DIALECT = """
        workflows:
            name: digits
            provider: bash
            ports:
              - 6006
            commands:
              - pip install -r needs.txt
              - python digits.py ${{ run.args }}
            cache:
              - path: ./data
              - path: ~/.cache/pip
            artifacts:
              - path: ./out/
            resources:
              gpu:
                name: V100
              interruptible: true
"""


def test_a_file_of_the_newest_dialect() -> None:
    checked = check(NEWEST_DIALECT)
    assert checked.problems == []
    digits = checked.workflows[0]
    assert [cached.path for cached in digits.cache] == ["data", "~/.cache/pip"]
    assert (digits.artifacts[0].path, digits.artifacts[0].mount) == ("out", False)
    assert digits.ports == (PortMapping(app=6006, local=6006),)
    assert digits.resources.spot_policy is SpotPolicy.SPOT
    assert digits.resources.gpu is not None
    assert (digits.resources.gpu.name, digits.resources.gpu.count) == ("V100", 1)


def test_values_keep_the_text_of_the_file() -> None:
    read = workflow("""
        python: 3.10
        env: {RATE: 0.00002, FLAG: False, DAY: 2024-01-02, TIME: 12:30, OCTAL: 010, EMPTY: "", MINE: }
    """)
    assert read.python == "3.10"
    assert read.env == {
        "RATE": "0.00002",
        "FLAG": "False",
        "DAY": "2024-01-02",
        "TIME": "12:30",
        "OCTAL": "010",
        "EMPTY": "",
        "MINE": None,
    }


def test_env_as_a_list() -> None:
    assert workflow("env: [A=1, B, 'C=x=y', D=]").env == {"A": "1", "B": None, "C": "x=y", "D": ""}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[download]", Dependency(how="run", workflow="download")),
        ("download", Dependency(how="run", workflow="download")),
        ("['download:v1']", Dependency(how="tag", workflow="download", tag="v1")),
        ("[':v1']", Dependency(how="tag", tag="v1")),
        ("[{workflow: download}]", Dependency(how="last", workflow="download")),
        ("[{tag: v1, mount: true}]", Dependency(how="tag", tag="v1", mount=True)),
        ("[{tag: 'download:v1'}]", Dependency(how="tag", workflow="download", tag="v1")),
        ("{workflows: [download]}", Dependency(how="run", workflow="download")),
    ],
)
@pytest.mark.parametrize("field", ["deps", "depends-on"])
def test_dependencies(field: str, given: str, expected: Dependency) -> None:
    assert workflow(f"{field}: {given}").deps.on == (expected,)


@pytest.mark.parametrize("field", ["variables", "config"])
@pytest.mark.parametrize("given", ["[a, b]", "{include: [a, b]}"])
def test_dependencies_on_variables(field: str, given: str) -> None:
    assert workflow(f"depends-on: {{{field}: {given}}}").deps == Dependencies(variables=("a", "b"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [("8000", (8000, 8000)), ('"8000"', (8000, 8000)), ('["8000:80"]', (8000, 80)), ("[8000:22]", (8000, 22))],
)
def test_ports(given: str, expected: tuple[int, int]) -> None:
    assert workflow(f"ports: {given}").ports == (PortMapping(app=expected[0], local=expected[1]),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2", (None, 2, None)),
        ("V100", ("V100", 1, None)),
        ('"V100:2"', ("V100", 2, None)),
        ("16GB", (None, 1, 16 * 10**9)),
        ("'A100:40GB:8'", ("A100", 8, 40 * 10**9)),
        ("{name: 3090, count: 2, memory: 24GiB}", ("3090", 2, 24 * 2**30)),
        ("{count:, name: T4}", ("T4", 1, None)),
    ],
)
def test_gpus(given: str, expected: tuple[str | None, int, int | None]) -> None:
    gpu = workflow(f"resources: {{gpu: {given}}}").resources.gpu
    assert gpu is not None
    assert (gpu.name, gpu.count, gpu.memory) == expected


def test_all_resources() -> None:
    resources = workflow("""
        resources:
          cpu: 8
          memory: 16GiB
          shm_size: 8GB
          disk: 100GB
          spot_policy: auto
          max_price: 1.50
          regions: [eu-west-1, us-east-1]
          backends: aws
          instance_types: [p3.2xlarge]
    """).resources
    assert (resources.cpu, resources.memory, resources.shm_size, resources.disk) == (8, 2**34, 8 * 10**9, 10**11)
    assert (resources.spot_policy, resources.max_price) == (SpotPolicy.AUTO, 1.5)
    assert resources.regions == ("eu-west-1", "us-east-1")
    assert (resources.backends, resources.instance_types) == (("aws",), ("p3.2xlarge",))


def test_fields_of_later_versions_are_read() -> None:
    read = workflow("""
        setup: pip install torch
        max_duration: 1h30m
        retry: 2h
        schedule: "0 3 * * 1-5"
        nodes: 2
        sweep:
          method: random
          parameters: {lr: [0.1, 0.01], size: {min: 1, max: 8, log: true}}
          parallel: 2
    """)
    assert (read.setup, read.max_duration, read.schedule, read.nodes) == (
        ("pip install torch",),
        5400,
        "0 3 * * 1-5",
        2,
    )
    assert read.retry is not None
    assert read.retry.duration == 7200
    assert read.sweep is not None
    assert read.sweep.parameters["lr"].values == ("0.1", "0.01")


def test_anchors_and_merges() -> None:
    checked = check("""
        x-base: &base
          image: python:3.11
          env: {A: 1}
        workflows:
          - &first
            <<: *base
            name: first
            commands: &steps [make]
          - <<: [*first, *base]
            name: second
            env: {B: 2}
          - {name: third, commands: *steps}
    """)
    assert checked.problems == []
    first, second, third = checked.workflows
    assert (first.image, first.env, second.env) == ("python:3.11", {"A": "1"}, {"B": "2"})
    assert (second.commands, third.commands, third.provider) == (("make",), ("make",), "bash")


def test_a_field_left_empty_is_as_if_it_were_not_there() -> None:
    read = workflow("""
        provider:
        commands: [echo hi]
        image:
        artifacts:
        resources:
          gpu:
          memory: 1GB
    """)
    assert (read.provider, read.artifacts, read.resources.gpu) == ("bash", (), None)


def test_lone_commands_keep_their_lines() -> None:
    assert workflow("commands: |\n  echo a\n  echo b\n").commands == ("echo a\necho b\n",)

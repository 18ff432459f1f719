"""Each kind of file that users of older dialects have, told afresh: it is accepted, and means what their documents say.

What they type and what is printed is in tests/e2e/test_reference_documents.py; a private remote in tests/e2e/test_init.py; the
server of a team, which isn't there yet, in tests/unit/cli/test_configuration.py.
"""

from __future__ import annotations

import shlex
from textwrap import dedent

import pytest

from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.jobs import JobSpec, PortMapping, SavedPath
from dstack_cloud.domain.parsing.model import Dependency
from dstack_cloud.domain.resources import GpuRequirement, SpotPolicy
from dstack_cloud.providers.registry import PROVIDERS

# one pipeline of three steps, in the two ways to say what depends on what
DEPENDS = {
    "sections": ("depends-on: {workflows: [fetch]}", "depends-on: {workflows: [fetch, tokenize]}"),
    "names": ("depends-on: [fetch]", "depends-on: [fetch, tokenize]"),
}
PIPELINE = """\
workflows:
  - name: fetch
    image: example/tf:1.15-py3
    commands:
      - pip3 install -r needs.txt
      - python3 fetch.py $size
    artifacts:
      - weights

  - name: tokenize
    image: example/tf:1.15-py3
    commands:
      - curl -O https://example.org/plays.txt
      - mkdir -p tokens
      - PYTHONPATH=lib ./tokenize.py --size $size plays.txt tokens/plays.npy
    {first}
    artifacts:
      - tokens

  - name: tune
    image: example/tf:1.15-py3
    {second}
    commands:
      - PYTHONPATH=lib python3 tune.py --run_name $run_name --size $size --data tokens/plays.npy $variables_as_args
    artifacts:
      - checkpoints
      - examples
"""
VARIABLES = """\
variables:
  global:
    size: 124M
    folder: weights

  tune:
    combine: 50000
    encoding: utf-8
    learning_rate: 0.00002
    memory: 12GB
    noise: 0.0
    start_from: latest
"""
OLDEST = """\
workflows:
  - name: fetch
    image: example/tf:1.15-py3
    commands:
      - python3 fetch.py $size
    depends-on:
      repo:
        include:
          - needs.txt
          - fetch.py
    artifacts:
      - weights/$size

  - name: tune
    image: example/tf:1.15-py3
    depends-on:
      repo:
        include: [lib/data.py]
      workflows:
        - fetch
    commands:
      - python3 tune.py --run_name $job_id --size $size --data plays.npz $config_args
    artifacts:
      - weights/$size
      - checkpoints/$job_id
"""
CONFIGS = """\
configs:
  global:
    size: 124M
    folder: weights

  tune:
    data: plays.npz
    learning_rate: 0.00002
    save_memory: False
    run_name: first
    other_data: None
    every: 0
"""


def read(*files: str) -> parsing.Checked:
    names = [".dstack/workflows.yaml", ".dstack/variables.yaml"]
    if any(text.startswith("configs") for text in files):
        names[1] = ".dstack/configs.yaml"
    checked = parsing.check([(name, dedent(text)) for name, text in zip(names, files, strict=False)])
    assert checked.problems == []
    return checked


def spec(checked: parsing.Checked, name: str, **overrides: str) -> JobSpec:
    """As far as one job goes: what it depends on is the plan's."""
    workflow = parsing.find(checked.workflows, name)
    values = checked.variables.overridden(name, overrides).values(name, run_name="shady-1", args=["--x", "a b"])
    alone = workflow.model_copy(update={"deps": type(workflow.deps)()})
    (job,) = providers.job_specs(alone, values)
    return job


def one(text: str) -> parsing.Workflow:
    (workflow,) = read(text).workflows
    return workflow


@pytest.mark.parametrize("shape", DEPENDS)
def test_a_pipeline_of_three_steps(shape: str) -> None:
    first, second = DEPENDS[shape]
    checked = read(PIPELINE.format(first=first, second=second), VARIABLES)
    assert [workflow.provider for workflow in checked.workflows] == ["docker"] * 3
    assert checked.workflows[1].deps.on == (Dependency(how="run", workflow="fetch"),)
    assert [each.workflow for each in checked.workflows[2].deps.on] == ["fetch", "tokenize"]
    fetch = spec(checked, "fetch", size="117M")
    assert fetch.commands == ("pip3 install -r needs.txt", "python3 fetch.py 117M")
    assert fetch.artifacts == (SavedPath(path="weights"),)
    assert spec(checked, "tune").commands[0] == (
        "PYTHONPATH=lib python3 tune.py --run_name shady-1 --size 124M --data tokens/plays.npy --combine 50000"
        " --encoding utf-8 --learning_rate 0.00002 --memory 12GB --noise 0.0 --start_from latest"
    )


def test_variables_of_a_workflow_and_of_all() -> None:
    checked = read(PIPELINE.format(first="help: x", second="help: y"), VARIABLES)
    values = checked.variables.values("tune", run_name="shady-1")
    assert values.environment["LEARNING_RATE"] == "0.00002"
    assert values.environment["SIZE"] == "124M"
    assert "--size" not in values.as_args
    assert checked.variables.seen_by("fetch") == {"size": "124M", "folder": "weights"}


def test_the_oldest_dialect() -> None:
    checked = read(OLDEST, CONFIGS)
    fetch, tune = checked.workflows
    assert (fetch.deps.include, fetch.deps.on) == (("needs.txt", "fetch.py"), ())
    assert (tune.deps.include, tune.deps.on) == (("lib/data.py",), (Dependency(how="run", workflow="fetch"),))
    assert spec(checked, "fetch").artifacts == (SavedPath(path="weights/124M"),)
    made = spec(checked, "tune")
    assert made.artifacts[1] == SavedPath(path="checkpoints/shady-1.tune")
    assert shlex.split(made.commands[0])[2:] == shlex.split(
        "--run_name shady-1.tune --size 124M --data plays.npz --data plays.npz --learning_rate 0.00002"
        " --save_memory False --run_name shady-1 --other_data None --every 0"
    )
    assert [warning.where for warning in checked.warnings] == ["configs.tune.run_name"]


SCRIPTS = """\
workflows:
  - name: get
    help: "Gets the data"
    provider: python
    file: "get.py"
    artifacts: ["data"]

  - name: train
    help: "Trains on it"
    depends-on:
      - get:newest
    provider: python
    file: "train.py"
    artifacts: ["model"]
    resources:
      gpu: 1
"""


def test_scripts_and_a_tag() -> None:
    checked = read(SCRIPTS, "variables:\n train:\n   batch-size: 64\n   lr: 1.0\n")
    get, train = checked.workflows
    assert (get.help, get.options) == ("Gets the data", {"file": "get.py"})
    assert train.deps.on == (Dependency(how="tag", workflow="get", tag="newest"),)
    assert spec(checked, "get").commands[-1].endswith("get.py")
    assert spec(checked, "train").requirements.gpu == GpuRequirement(count=1)
    environment = checked.variables.values("train", run_name="shady-1").environment
    assert (environment["BATCH_SIZE"], environment["LR"]) == ("64", "1.0")


def test_every_property_of_a_script() -> None:
    made = spec(
        read(
            """\
            workflows:
              - name: train
                provider: python
                file: train.py
                args: ["--epochs", "5", "--name=${{ title }}"]
                requirements: needs.txt
                version: 3.10
                environment: [MODE=fast]
                working_dir: src
                artifacts: [model]
                resources: {cpu: 2, memory: 8GB, gpu: 1}
            """,
            "variables: {train: {title: two words}}",
        ),
        "train",
    )
    assert shlex.split(made.commands[-1])[1:] == ["train.py", "--epochs", "5", "--name=two words"]
    assert made.setup[-1].endswith("-r needs.txt")
    assert (made.python, made.working_dir, made.artifacts) == ("3.10", "src", (SavedPath(path="model"),))
    wanted = made.requirements
    assert (wanted.cpu, wanted.memory, wanted.gpu) == (2, 8 * 10**9, GpuRequirement(count=1))


def test_the_providers_that_they_name_are_there() -> None:
    named = {"bash", "code", "curl", "docker", "lab", "notebook", "python", "streamlit", "torchrun"}
    assert named <= set(PROVIDERS)


def test_the_environment_of_a_script() -> None:
    text = "workflows: [{name: w, provider: python, file: a.py, environment: [MODE=fast, TOKEN]}]"
    assert one(text).env == {"MODE": "fast", "TOKEN": None}


@pytest.mark.parametrize(("given", "how", "tag"), [("get", "run", None), ("get:newest", "tag", "newest")])
def test_a_dependency_alone(given: str, how: str, tag: str | None) -> None:
    workflow = one(f"workflows:\n  - name: w\n    commands: x\n    depends-on:\n      - {given}\n")
    assert workflow.deps.on == (Dependency(how=how, workflow="get", tag=tag),)


LATER = """\
workflows:
  - name: w
    provider: {provider}
    commands:
      - pip install -r parts/needs.txt
      - python parts/train.py
    artifacts:
      - path: ./logs
    {more}
"""


def later(more: str = "", provider: str = "bash") -> JobSpec:
    return spec(read(LATER.format(more=more, provider=provider)), "w")


def test_artifacts_with_a_path_and_a_gpu() -> None:
    made = later("resources: {gpu: {count: 1}}")
    assert made.artifacts == (SavedPath(path="logs"),)
    assert made.requirements.gpu == GpuRequirement(count=1)


def test_arguments_of_a_lone_workflow() -> None:
    text = "workflows:\n    name: w\n    provider: bash\n    commands:\n      - python parts/train.py ${{ run.args }}\n"
    assert spec(read(text), "w").commands == ("python parts/train.py --x 'a b'",)


def test_interruptible_with_a_named_gpu() -> None:
    wanted = later("resources: {gpu: {name: V100}, interruptible: true}").requirements
    assert wanted.gpu == GpuRequirement(name="V100")
    assert wanted.spot_policy is SpotPolicy.SPOT


def test_an_image_with_the_docker_provider() -> None:
    made = later("image: python:3.11", "docker")
    assert (made.provider, made.image, len(made.commands)) == ("docker", "python:3.11", 2)


def test_ports() -> None:
    assert later("ports:\n      - 6006").ports == (PortMapping(app=6006, local=6006),)


def test_a_cache() -> None:
    made = later("cache:\n      - path: ./data\n      - path: ~/.cache/pip")
    assert made.cache == (SavedPath(path="data"), SavedPath(path="~/.cache/pip"))

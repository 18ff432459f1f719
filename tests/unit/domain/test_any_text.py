"""Whatever a file holds: problems or workflows, never an exception; and what was read can be written and read again."""

from __future__ import annotations

import shlex
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.parsing.known import BUILT_IN, PROVIDERS, SYNONYMS
from dstack_cloud.domain.parsing.model import Body, Resources
from dstack_cloud.domain.shell import is_unfinished
from dstack_cloud.errors import DstackError

GOOD = """\
x-base: &base {image: "python:3.11", env: [A=1, B]}
workflows:
  - <<: *base
    name: train
    commands: |
      python train.py ${{ run.args }}
    artifacts: [out, {path: ~/x, mount: true}]
    ports: [6006, "8000:80"]
    deps: [data, "data:v1", {workflow: data}]
    resources: {gpu: {name: V100, count: 2}, memory: 16GB, interruptible: yes}
"""
USES = """\
workflows: {name: train, commands: [run $variables_as_args, 'x "$lr" $model'], artifacts: [out/$model], env: {A: "$lr"}}
"""
VARIABLES = """\
x-base: &base {lr: 0.1, name: "a 'b' $c"}
variables:
  global: {model: 124M, batch-size: 1}
  train:
    <<: *base
    twremat: {default: False, help: Saves memory}
    run_name: run1
"""
KEYS = [
    *Body.model_fields,
    *SYNONYMS,
    *BUILT_IN.keys,
    *Resources.model_fields,
    "path",
    "mount",
    "repo",
    "include",
    "workflows",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from([*PROVIDERS, "3.10", "${{ run.x }}", "2h", "../x"]),
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
quiet = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def survives(text: str) -> None:
    """`check` gives one or the other, and so does what comes after it."""
    checked = parsing.check([("w.yaml", text)])
    for problem in checked.problems:
        assert problem.text.isprintable()
        assert (problem.line >= 1, problem.column >= 1) == (True, True)
    for workflow in checked.workflows:
        assert_round_trip(workflow)
        try:
            values = checked.variables.values(workflow.name, run_name="shady-1", args=["a b"])
            providers.job_specs(workflow, values)
            providers.confidential(workflow, values, {})
        except DstackError as error:
            assert error.summary


def survives_as_variables(text: str) -> None:
    """Beside a workflow that uses them on every way."""
    checked = parsing.check([(".dstack/variables.yaml", text), (".dstack/workflows.yaml", USES)])
    for problem in (*checked.problems, *checked.warnings):
        assert problem.text.isprintable()
        assert (problem.line >= 1, problem.column >= 1) == (True, True)
    if checked.problems:
        return
    again = parsing.check([(".dstack/variables.yaml", parsing.dump_variables(checked.variables)), ("w.yaml", USES)])
    assert (again.problems, again.variables) == ([], checked.variables)
    (workflow,) = checked.workflows
    values = checked.variables.values(workflow.name, run_name="shady-1")
    try:
        (spec,) = providers.job_specs(workflow, values)
    except DstackError as error:
        assert error.summary
    else:
        assert shlex.split(spec.commands[0]) == ["run", *values.as_args]
    assert set(providers.confidential(workflow, values, {}).env) >= {"JOB_ID"}


def assert_round_trip(workflow: parsing.Workflow) -> None:
    again = parsing.check([("w.yaml", parsing.dump([workflow]))])
    assert again.problems == []
    same = {"file": workflow.file, "line": workflow.line, "lines": workflow.lines}
    assert again.workflows[0].model_copy(update=same) == workflow


@quiet
@given(st.text())
@example("%YAML 9999999999999999999.1\n---\na")
@example('"\\UFFFFFFFF"')
@example("? ? ? a")
def test_any_text(text: str) -> None:
    survives(text)


@quiet
@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 30),
    st.text(max_size=8) | st.sampled_from(["\t", ": ", "&base", "*base", "- ", "{", "'"]),
)
def test_a_good_file_with_a_change_in_it(start: int, removed: int, put_in: str) -> None:
    survives(GOOD[:start] + put_in + GOOD[start + removed :])


@quiet
@given(trees)
def test_any_tree(tree: Any) -> None:
    survives(yaml.safe_dump({"workflows": tree}))


@quiet
@given(st.dictionaries(st.sampled_from(KEYS), trees, max_size=6))
def test_any_fields_of_a_workflow(fields: dict[str, Any]) -> None:
    survives(yaml.safe_dump({"workflows": [{"name": "a", "commands": "x", **fields}]}))


@quiet
@given(
    st.integers(0, len(VARIABLES)),
    st.integers(0, 30),
    st.text(max_size=8) | st.sampled_from(["\t", ": ", "&base", "*base", "- ", "{", "'", "train", "global:"]),
)
def test_good_variables_with_a_change_in_them(start: int, removed: int, put_in: str) -> None:
    survives_as_variables(VARIABLES[:start] + put_in + VARIABLES[start + removed :])


@quiet
@given(trees | st.dictionaries(st.sampled_from(["global", "train", "trian"]), trees))
def test_any_tree_of_variables(tree: Any) -> None:
    survives_as_variables(yaml.safe_dump({"variables": tree}))


variable_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,12}", fullmatch=True)
variable_values = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
explained = st.fixed_dictionaries({"default": variable_values, "help": variable_values})
sections = st.dictionaries(variable_names, variable_values | explained, max_size=4)


@quiet
@given(sections, sections)
def test_variables_are_written_and_read_again(shared: dict[str, Any], own: dict[str, Any]) -> None:
    text = yaml.safe_dump({"variables": {"global": shared, "train": own}}, allow_unicode=True)
    survives_as_variables(text)


words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda text: text.strip() != "" and "${{" not in text
)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
sizes = st.builds(
    lambda number, unit: f"{number}{unit}", st.integers(1, 1000), st.sampled_from(["GB", "MiB", "Gi", "K"])
)
counts = st.integers(1, 100)
good_fields: dict[str, st.SearchStrategy[Any]] = {
    "help": words,
    "image": words,
    "commands": st.lists(words.filter(lambda text: not is_unfinished(text)), min_size=1, max_size=3) | words,
    "env": st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True),
        st.none() | st.text(alphabet="a b=:#'\"\n"),
        max_size=3,
    ),
    "ports": st.lists(st.integers(1, 65535), unique=True, max_size=3),
    "artifacts": st.lists(names.map(lambda name: f"~/{name}"), unique=True, max_size=2)
    | names.map(lambda name: [{"path": name, "mount": True}]),
    "cache": st.lists(names, unique=True, max_size=2),
    "deps": st.lists(
        names | st.builds("{}:{}".format, names, names) | names.map(lambda name: {"workflow": name}), max_size=3
    ),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "cpu": counts,
            "memory": sizes,
            "gpu": counts | st.builds("V100:{}".format, counts) | st.fixed_dictionaries({"memory": sizes}),
            "interruptible": st.booleans(),
            "max_price": st.floats(0, 1000).map(lambda price: round(price, 4)).map("{:.4f}".format),
            "regions": st.lists(names, unique=True, max_size=2),
        },
    ),
    "max_duration": counts | st.builds("{}h{}m".format, counts, counts),
    "retry": st.booleans() | st.just("2h"),
    "nodes": counts,
    "setup": words,
    "entrypoint": st.lists(words, min_size=1, max_size=2),
    "sweep": st.dictionaries(names, st.lists(st.integers(), min_size=1, max_size=2), min_size=1).map(
        lambda given: {"parameters": given}
    ),
}


@quiet
@given(names, st.fixed_dictionaries({}, optional=good_fields))
def test_what_was_read_is_written_and_read_again(name: str, fields: dict[str, Any]) -> None:
    if "image" not in fields:
        fields.pop("entrypoint", None)
        fields.setdefault("commands", ["true"])
    checked = parsing.check([("w.yaml", yaml.safe_dump({"workflows": [{"name": name, **fields}]}))])
    assert checked.problems == []
    assert_round_trip(checked.workflows[0])

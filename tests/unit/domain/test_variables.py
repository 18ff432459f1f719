"""Files of variables, and what a job sees of them."""

from __future__ import annotations

from textwrap import dedent

import pytest

from dstack_cloud.domain import parsing
from dstack_cloud.domain.variables import Variables
from dstack_cloud.errors import UsageError

FILE = ".dstack/variables.yaml"
WORKFLOWS = (".dstack/workflows.yaml", "workflows: [{name: train, commands: x}, {name: encode, commands: x}]")


def check(text: str, path: str = FILE, *more: tuple[str, str]) -> parsing.Checked:
    return parsing.check([(path, dedent(text)), *more, WORKFLOWS])


def read(text: str, path: str = FILE) -> Variables:
    checked = check(text, path)
    assert checked.problems == []
    return checked.variables


@pytest.mark.parametrize(
    ("path", "root"),
    [
        (".dstack/variables.yaml", "variables"), (".dstack/variables.yml", "variables"), (".dstack/configs.yaml", "configs"),
        (".dstack/config.yaml", "configs"), (".dstack/configs.yaml", "variables"),
    ],
)  # fmt: skip
def test_a_value_keeps_its_text(path: str, root: str) -> None:
    text = f"{root}:\n  global: {{model: 124M}}\n  train: {{lr: 0.00002, a: False, b: 1.0, c: None, d: '', e: 'x y', f: 0x10}}\n"
    variables = read(text, path)
    assert variables.shared == {"model": "124M"}
    assert variables.own == {
        "train": {"lr": "0.00002", "a": "False", "b": "1.0", "c": "None", "d": "", "e": "x y", "f": "0x10"}
    }


@pytest.mark.parametrize(
    "text", ["variables:", "variables: {}", "variables: {global: , train: }", "x-a: 1\nvariables: {}"]
)
def test_there_may_be_none(text: str) -> None:
    assert read(text).seen_by("train") == {}


@pytest.mark.parametrize(
    ("text", "where", "says", "hint"),
    [
        ("variables: {trian: {a: 1}}", "1:13 variables.trian", "there is no workflow `trian`", "did you mean `train`?"),
        ("variables:\n  model: 124M", "2:10 variables.model", "must be a mapping", "below `global:`"),
        ("variables: {train: {lr: }}", "1:21 variables.train.lr", "has no value", '""'),
        ("variables: {train: {lr: [1]}}", "1:25 variables.train.lr", "found a list", None),
        ("variables: {train: {lr: {}}}", "1:21 variables.train.lr", "has no `default`", '`default: ""`'),
        ("variables: {train: {lr: {defualt: 1}}}", "1:26 variables.train.lr.defualt", "is an unknown field", "did you mean `default`?"),
        ("variables: {train: {lr: {default: [1]}}}", "1:35 variables.train.lr.default", "found a list", None),
        ("variables: {train: {lr: {default: 1, help: {a: b}}}}", "1:44 variables.train.lr.help", "found a mapping", None),
        ("variables: {train: {a b: 1}}", "1:21 variables.train.a b", "can't be the name of a variable", "`a_b`"),
        ("variables: {train: {1: 1}}", "1:21 variables.train.1", "can't be the name of a variable", None),
        ("variables: {train: {a-b: 1, a_b: 2}}", "1:29 variables.train.a_b", "is the same variable as `variables.train.a-b`", None),
        ("variables: {train: {lr: 1, lr: 2}}", "1:28 variables.train.lr", "is given twice", None),
        ("varables: {}", "1:1 varables", "`varables` is an unknown field", "did you mean `variables`?"),
        ("workflows: []", "1:1 workflows", "is an unknown field", ".dstack/workflows.yaml"),
        ("- a", "1:1 ", "the file must be a mapping", "`variables:`"),
        ("variables: [a]", "1:12 variables", "found a list", None),
        ("variables: {}\nconfigs: {}", "2:1 configs", "says the same as `variables`", None),
        ("variables: {a", "1:14 ", "missing", None),
        ("", "1:1 ", "the file is empty", None),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place(text: str, where: str, says: str, hint: str | None) -> None:
    found = next(each for each in check(text).problems if says in each.text)
    assert f"{found.line}:{found.column} {found.where}" == where
    assert hint is None or hint in (found.hint or "")


def test_a_variable_may_say_what_it_is_for() -> None:
    variables = read("""
        variables:
          global: {model: {default: 124M, help: Which one}, seed: {default: 1, help: }}
          train: {lr: {default: 0.00002, help: "How fast\\nto learn"}, model: 117M}
    """)
    assert (variables.shared, variables.own) == (
        {"model": "124M", "seed": "1"},
        {"train": {"lr": "0.00002", "model": "117M"}},
    )
    assert [variables.help_of("encode", name) for name in ("model", "seed")] == ["Which one", ""]
    assert [variables.help_of("train", name) for name in ("lr", "model")] == ["How fast to learn", ""]
    assert variables.overridden("train", {"lr": "1"}).help == variables.help


def test_all_mistakes_come_at_once_and_in_both_kinds_of_files() -> None:
    checked = check(
        "variables: {trian: {lr: []}, global: {a b: 1}}", FILE, (".dstack/workflows/x.yaml", "workflows: [{name: x}]")
    )
    assert len(checked.problems) == 4


def test_the_same_variable_in_two_files_names_both() -> None:
    checked = check("variables: {train: {lr: 1}}", FILE, (".dstack/configs.yaml", "configs: {train: {lr: 2}}"))
    assert (
        "in .dstack/configs.yaml:1" in checked.problems[0].text
        or "in .dstack/variables.yaml:1" in checked.problems[0].text
    )


def test_names_are_checked_against_what_each_workflow_sees() -> None:
    use = (
        "workflows: [{name: train, commands: 'x ${{ lr }} ${{ batch_size }}'}, {name: encode, commands: 'x ${{ lr }}'}]"
    )
    checked = parsing.check(
        [(FILE, "variables: {global: {batch-size: 1}, train: {lr: 1}}"), (".dstack/workflows.yaml", use)]
    )
    assert [workflow.name for workflow in checked.workflows] == ["train"]
    (problem,) = checked.problems
    assert problem.where == "workflows[1].commands"
    assert "`${{ batch-size }}`" in (problem.hint or "")


def test_what_the_system_sets_itself_is_warned_of() -> None:
    checked = check("variables: {train: {run_name: run1, path: data, lr: 1}}")
    assert [warning.where for warning in checked.warnings] == ["variables.train.run_name", "variables.train.path"]
    values = checked.variables.values("train", run_name="shady-1")
    assert values.variables == {"run_name": "shady-1", "path": "data", "lr": "1"}
    assert values.environment == {"RUN_NAME": "shady-1", "LR": "1", "JOB_ID": "shady-1.train"}
    assert values.as_args == ("--run_name", "shady-1", "--path", "data", "--lr", "1")


def test_its_own_hide_global_ones_and_only_they_are_arguments() -> None:
    variables = read("variables: {global: {model: 124M, batch_size: 1}, train: {batch-size: 2}}")
    values = variables.values("train", run_name="shady-1")
    assert values.variables == {"model": "124M", "batch-size": "2"}
    assert values.as_args == ("--batch-size", "2")
    assert values.environment["BATCH_SIZE"] == "2"
    assert (values.named["batch_size"], values.named["model"]) == ("2", "124M")


def test_an_override_of_a_global_one_counts_for_every_workflow() -> None:
    variables = read("variables: {global: {model: 124M}, train: {lr: 1}, encode: {lr: 2}}")
    changed = variables.overridden("train", {"model": "117M", "lr": "9"})
    assert changed.seen_by("train") == {"lr": "9", "model": "117M"}
    assert changed.seen_by("encode") == {"lr": "2", "model": "117M"}
    assert variables.seen_by("train") == {"lr": "1", "model": "124M"}


@pytest.mark.parametrize(
    ("name", "says"), [("modle", "did you mean `--model`?"), ("zzz", "it has: lr, model"), ("run_name", "leave it out")]
)
def test_an_override_of_what_is_not_there(name: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read("variables: {global: {model: 124M}, train: {lr: 1}}").overridden("train", {name: "1"})
    assert says in str(caught.value.hint)

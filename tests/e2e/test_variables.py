"""Variables: from the file and the command line to the job."""

import json
import shutil
from pathlib import Path

from tests.e2e.conftest import User

EXAMPLE = Path(__file__).parents[2] / "examples" / "variables"
VARIABLES = """
    variables:
      global:
        model: 124M
      train:
        batch-size: {default: 64, help: Examples at once}
        rate: 0.00002
        title: it's "$HOME" twice
"""
TRAIN = """
    workflows:
      - name: train
        commands:
          - echo "1 $model $batch_size ${{ batch-size }} $other$$" | sed 's/[0-9]*$//'
          - printf '2 [%s]\\n' $variables_as_args
          - echo "3 $MODEL $BATCH_SIZE $RATE $TITLE"; printf '4 %s\\n' '$title' $title "$title"
          - echo "5 $run_name $job_id"
          - mkdir -p out/$model; echo done > out/$model/x
        env: {SIZE: "${{ batch-size }} at $rate"}
        artifacts: [out/$model]
"""


def prepare(user: User) -> None:
    user.workflows(TRAIN)
    user.write(".dstack/variables.yaml", VARIABLES)


def test_a_value_reaches_the_job_on_every_way(user: User) -> None:
    prepare(user)
    text = user("run", "train").text
    name = user.runs()[0]["name"]
    title = 'it\'s "$HOME" twice'
    assert "1 124M 64 64" in text
    assert "2 [--batch-size]\n2 [64]\n2 [--rate]\n2 [0.00002]\n2 [--title]\n" + f"2 [{title}]\n" in text
    assert f"3 124M 64 0.00002 {title}\n" + f"4 {title}\n" * 3 in text
    assert f"5 {name} {name}.train" in text
    assert [each["path"] for each in json.loads(user("artifacts", name, "--json").out) if each["kind"] == "file"] == [
        "out/124M/x"
    ]


def test_the_command_line_overrides(user: User) -> None:
    prepare(user)
    text = user("run", "train", "--batch_size", "32", "--model=117M big", "-e", "RATE=mine").text
    assert "1 117M big 32 32" in text
    assert "[32]\n" in text and "3 117M big 32 mine" in text
    assert user.runs()[0]["variables"] == {
        "batch-size": "32", "rate": "0.00002", "title": "it's \"$HOME\" twice", "model": "117M big",
    }  # fmt: skip
    assert "--batch-size 32" in user("ps", "-v").text


def test_help_and_plan_show_them(user: User) -> None:
    prepare(user)
    text = user("run", "train", "--help").text
    assert "--batch-size  Examples at once; default is 64" in text and "default is 124M (global)" in text
    assert "--rate 0.00002" in user("run", "train", "--rate", "0.00002", "--dry-run").text


def test_a_slip_starts_nothing(user: User) -> None:
    prepare(user)
    for words, says in (
        (["--batch-sise", "1"], "did you mean `--batch-size`?"),
        (["--batch-size"], "`--batch-size` has no value"),
        (["--modle", "x"], "did you mean `--model`?"),
        (["--detatch"], "did you mean `--detach`?"),
        (["word"], "takes no arguments"),
    ):
        answer = user("run", "train", *words, code=2)
        assert says in answer.err
        assert "Traceback" not in answer.err
    user.write(".dstack/variables.yaml", "variables: {trian: {lr: [1]}}")
    err = user("run", "train", code=2).err
    assert "variables.yaml:1:13: there is no workflow `trian` (did you mean `train`?" in err
    assert "found a list" in err
    assert user.runs() == []


def test_the_example(user: User) -> None:
    shutil.copytree(EXAMPLE, user.folder, dirs_exist_ok=True)
    text = user("run", "grow", "--steps", "4", "--shape", "linear", "--width=8").text
    assert "**\n****\n******\n********\n" in text
    assert "wrote curves/linear.txt" in text
    assert "default is logistic" in user("run", "grow", "--help").text

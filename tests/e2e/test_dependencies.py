"""Workflows that depend on each other: run together in order, used again where nothing has changed, named by tags."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import User, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "dependencies"
THREE = """
    workflows:
      - name: download
        commands: [mkdir -p models, "echo weights > models/w", echo downloaded]
        artifacts: [models]
      - name: encode
        commands: ["tr a-z A-Z < models/w > data", echo encoded]
        artifacts: [data, "~/seen"]
        deps: [download]
      - name: train
        commands: [cat models/w data code.txt]
        artifacts: [out]
        deps: [download, encode]
"""


@pytest.fixture
def three(user: User) -> User:
    user.workflows(THREE)
    user.write("code.txt", "code\n")
    return user


def jobs(user: User, name: str) -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in user.run(name)["jobs"]}


def plan(user: User, *args: str) -> dict[str, str]:
    """By job: what is used instead of it, or why it runs."""
    view = json.loads(user("run", *args, "--dry-run", "--json").out)
    return {job["name"]: job["reused"] or f"runs: {job['why']}" for job in view["jobs"]}


def test_all_steps_run_in_order_and_the_second_time_only_the_last(three: User) -> None:
    first = three("run", "train")
    assert first.text == "downloaded\nencoded\nweights\nWEIGHTS\ncode\n"
    name = three.runs()[0]["name"]
    assert three("logs", name).text == first.text
    assert three("logs", f"{name}.encode").text == "encoded\n"
    assert plan(three, "train") == {"download": f"{name}.download", "encode": f"{name}.encode", "train": "runs: "}
    again = three("run", "train")
    assert again.text == "weights\nWEIGHTS\ncode\n"
    assert f".train uses {name}.download (unchanged), {name}.encode (unchanged)" in again.err
    second = three.runs()[0]["name"]
    assert list(jobs(three, second)) == ["train"]
    assert f"uses {name}.download (unchanged), {name}.encode (unchanged)" in three("ps", "-v").text


def test_what_changed_runs_again_and_says_so(three: User) -> None:
    name = three.submit("train")
    three.wait(name)
    three.write("code.txt", "other\n")
    assert plan(three, "train")["download"] == "runs: the code changed"
    assert plan(three, "train")["encode"] == "runs: `download` runs"
    three.write("code.txt", "code\n")
    assert plan(three, "train", "-e", "TOKEN=1")["download"] == "runs: environment TOKEN changed"
    assert plan(three, "train", "--no-reuse")["download"] == "runs: --no-reuse"
    three.workflows(THREE.replace("echo downloaded", "echo again"))
    assert plan(three, "train")["download"] == "runs: the workflow changed"
    three.workflows(THREE.replace("cat models/w data", "cat data models/w"))
    assert plan(three, "train")["encode"] == f"{name}.encode"


def test_what_was_read_counts_not_whose_it_was(user: User) -> None:
    source = user.folder.parent / "source"
    user.workflows(f"""
        workflows:
          - {{name: a, commands: ["cp {source} a"], artifacts: [a]}}
          - {{name: b, commands: [cp a b], artifacts: [b], deps: [a]}}
          - {{name: c, commands: [cat b], deps: [b]}}
    """)
    source.write_text("one\n")
    assert user("run", "c").text == "one\n"
    name = user.runs()[0]["name"]
    user("resume", f"{name}.a", "-y")
    assert plan(user, "c")["b"] == f"{name}.b"
    source.write_text("two\n")
    user("resume", f"{name}.a", "-y")
    assert plan(user, "c")["b"] == "runs: the outputs of `a` changed"
    assert user("run", "c").text == "two\n"


def test_reuse_of_the_workflow_itself_gives_its_earlier_run(three: User) -> None:
    name = three.submit("encode")
    three.wait(name)
    again = three("run", "encode", "--reuse", "-t", "good", "-d")
    assert again.text.strip() == name
    assert "nothing runs" in again.err
    assert len(three.runs()) == 1
    assert three.run(name)["tag"] == "good"
    taken = three("run", "encode", "--reuse", "-t", "better", code=2).err
    assert f"{name}, which would be used again, has the tag good already" in taken
    assert f"`dstack tag {name} better`" in taken
    assert three.run(name)["tag"] == "good"


def test_a_gpu_given_with_the_command_counts(user: User) -> None:
    user.workflows("workflows: [{name: a, commands: [ls]}]")
    user.wait(user.submit("a"))
    assert plan(user, "a", "--reuse")["a"].endswith(".a")
    answer = user("run", "a", "--reuse", "--gpu", "V100", "--dry-run", code=None)
    assert "GPU" in answer.err


def test_what_a_provider_makes_counts(user: User) -> None:
    source = (
        "from dstack_cloud.providers import Program, Provider\n"
        "class P(Provider):\n    def program(self, given): return Program(commands=('echo one > p',))\n"
    )
    path = user.write("providers/p.py", source)
    user.write("in.txt", "in")
    user.workflows("""
        workflows:
          - {name: p, provider: "./providers/p.py:P", artifacts: [p], deps: {repo: {include: [in.txt]}}}
          - {name: show, commands: [cat p], deps: [p]}
    """)
    assert user("run", "show").text == "one\n"
    assert plan(user, "show")["p"].endswith(".p")
    path.write_text(source.replace("one", "two"))
    assert plan(user, "show")["p"] == "runs: what its provider makes of it changed"


def test_side_by_side_where_the_graph_allows(user: User) -> None:
    wait = "for i in $(seq 600); do [ -e {other} ] && exit 0; sleep 0.1; done; exit 1"
    place = user.folder.parent
    user.workflows(f"""
        workflows:
          - {{name: top, commands: ["echo top > top"], artifacts: [top]}}
          - {{name: left, commands: ["touch {place}/l", "{wait.format(other=place / "r")}"], deps: [top]}}
          - {{name: right, commands: ["touch {place}/r", "{wait.format(other=place / "l")}"], deps: [top]}}
          - {{name: end, commands: [ls], deps: [left, right]}}
    """)
    user("run", "end")
    found = jobs(user, user.runs()[0]["name"])
    assert [found[name]["status"] for name in ("top", "left", "right", "end")] == ["done"] * 4


def test_a_failure_ends_those_that_wait_and_starts_nothing_more(three: User) -> None:
    three.workflows(THREE.replace("echo downloaded", "exit 7"))
    answer = three("run", "train", code=7)
    assert "`download` failed" in answer.err
    found = jobs(three, three.runs()[0]["name"])
    assert [found[name]["status"] for name in ("download", "encode", "train")] == ["failed"] * 3
    assert found["train"]["instances"] == []
    three.workflows(THREE)
    assert plan(three, "train")["download"] == "runs: no finished run"


def test_a_stop_in_the_middle_stops_all(three: User) -> None:
    three.workflows(THREE.replace("echo encoded", "'echo begun; sleep 600'"))
    name = three.submit("train")
    three.wait_for_log(name, "begun")
    assert "waits for encode" in three("ps", "-v").text
    three("stop", name, "-y")
    assert three.wait(name)["status"] == "stopped"
    found = jobs(three, name)
    assert [found[each]["status"] for each in ("download", "encode", "train")] == ["done", "stopped", "stopped"]


def test_a_killed_server_goes_on_with_the_pipeline(three: User) -> None:
    three.workflows(THREE.replace("echo downloaded", "'echo begun; sleep 2'"))
    name = three.submit("train")
    three.wait_for_log(name, "begun")
    three.kill_server()
    assert three.wait(name)["status"] == "done"
    assert three("logs", name).text == "begun\nencoded\nweights\nWEIGHTS\ncode\n"


def test_tags_name_outputs(three: User) -> None:
    name = three.submit("download", "-t", "v1")
    three.wait(name)
    three.workflows(
        THREE.replace("deps: [download]", 'deps: [":v1"]').replace("[download, encode]", "[download:v1, encode]")
    )
    assert three("run", "train").text == "encoded\nweights\nWEIGHTS\ncode\n"
    assert three("artifacts", ":v1").text.splitlines() == ["models/", "models/w"]
    three("artifacts", "download:v1", "--output", "got")
    assert (three.folder / "got/models/w").read_text() == "weights\n"
    assert f"v1   {name}" in three("tags").text
    three("untag", "v1")
    assert "no tags yet" in three("tags").err
    assert "there is no run with the tag `:v1`" in three("run", "train", code=2).err
    three("tags", "add", "v2", name)
    assert "instead of v2" in three("tag", name, "v1").text


def test_what_cannot_be_is_refused_before_anything_starts(user: User) -> None:
    user.workflows("""
        workflows:
          - {name: a, commands: [ls], deps: [b]}
          - {name: b, commands: [ls], deps: [c]}
          - {name: c, commands: [ls], deps: [b]}
          - {name: missing, commands: [ls], deps: [bb]}
          - {name: last, commands: [ls], deps: [{workflow: c}]}
          - {name: tag, commands: [ls], deps: [":nope"]}
    """)
    assert "`b` depends on itself: b → c → b" in user("run", "a", code=2).err
    assert "did you mean `b`?" in user("run", "missing", code=2).err
    assert "`dstack run c` first" in user("run", "last", code=2).err
    assert "there is no run with the tag `:nope`" in user("run", "tag", code=2).err
    assert user.runs() == []


def test_a_mounted_artifact_is_saved_while_the_job_runs(user: User) -> None:
    user.workflows("""
        workflows:
          - {name: train, commands: [mkdir out, echo 1 > out/a, echo begun, sleep 600], artifacts: [{path: out, mount: true}]}
    """)
    name = user.submit("train")
    user.wait_for_log(name, "begun")
    until(lambda: "out/a" in user("artifacts", name, code=None).text, 120)
    user("stop", name, "-a", "-y")


def test_the_example_trains_and_is_reused(user: User) -> None:
    shutil.copytree(EXAMPLE, user.folder, dirs_exist_ok=True)
    losses = [float(each) for each in re.findall(r"loss ([0-9.]+)", user("run", "finetune").text)]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)
    first = user.runs()[0]["name"]
    assert [*jobs(user, first)] == ["download", "encode", "finetune"]
    assert "epoch 1: loss" in user("run", "finetune", "--epochs", "1").text
    second = user.runs()[0]["name"]
    assert [*jobs(user, second)] == ["finetune"]
    saved = {each["path"] for each in json.loads(user("artifacts", second, "--json").out) if each["kind"] == "file"}
    assert saved == {"checkpoint/weights.json", "samples/sample.txt"}
    assert plan(user, "finetune", "--model", "medium")["download"] == "runs: variable model changed"

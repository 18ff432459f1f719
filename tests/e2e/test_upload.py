"""Artifacts that no job made."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.conftest import User


def test_what_is_uploaded_is_a_finished_run(user: User) -> None:
    user.write("data/deep/numbers.csv", "1,2\n")
    user.write("data/.gitignore", "*.csv\n")
    (user.folder / "data" / "link").symlink_to("deep/numbers.csv")
    told = user("artifacts", "upload", "data", "--tag", "v1").text
    [run] = user.runs()
    assert told == f"{run['name']}: data:v1\n"
    assert (run["status"], run["workflow"], run["tag"], run["exit_code"]) == ("done", "data", "v1", None)
    listed = [entry["path"] for entry in json.loads(user("artifacts", run["name"], "--json").out)]
    assert listed == ["data", "data/.gitignore", "data/deep", "data/deep/numbers.csv", "data/link"]
    user("artifacts", "download", run["name"], "got")
    assert (user.folder / "got/data/link").read_text() == "1,2\n"
    user("artifacts", "cp", run["name"], "data/deep", "some")
    assert (user.folder / "some/data/deep/numbers.csv").exists()
    assert "there is nothing to run" in user("restart", run["name"], "--clear", "-y", code=2).err
    assert "numbers" not in user("logs", run["name"]).text
    user("rm", run["name"], "-y")
    assert user.runs() == []


def test_others_depend_on_it(user: User) -> None:
    user.write("data/numbers.csv", "1,2\n")
    user("artifacts", "upload", "data", "--tag", "v1")
    (user.folder / "data/numbers.csv").unlink()
    user.workflows("workflows: {name: use, deps: [':v1', 'data:v1'], commands: [cat data/numbers.csv]}")
    assert user("run", "use").text == "1,2\n"


def test_a_file_under_a_name(user: User) -> None:
    user.write("a file.bin", "x" * 3_000_000)
    assert "`a file.bin` can't be a name" in user("artifacts", "upload", "a file.bin", "-t", "v1", code=2).err
    run = json.loads(user("artifacts", "upload", "a file.bin", "-t", "v1", "--name", "weights", "--json").out)
    [entry] = json.loads(user("artifacts", run["name"], "--json").out)
    assert (entry["path"], entry["size"]) == ("a file.bin", 3_000_000)


def test_a_link_stands_for_what_it_leads_to(user: User) -> None:
    user.write("data/numbers.csv", "1,2\n")
    (user.folder / "newest").symlink_to("data")
    run = json.loads(user("artifacts", "upload", "newest", "-t", "v1", "--json").out)
    assert run["workflow"] == "newest"
    listed = [(entry["path"], entry["kind"]) for entry in json.loads(user("artifacts", run["name"], "--json").out)]
    assert listed == [("newest", "dir"), ("newest/numbers.csv", "file")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "-t", "v1"), "there is no nope"),
        (("pipe", "-t", "v1"), "pipe is neither a file nor a folder"),
        (("data",), "missing option '-t'"),
        (("data", "-t", ""), "the tag is empty"),
        (("data", "-t", "a b"), "`a b` can't be a tag"),
    ],
)
def test_slips(user: User, words: tuple[str, ...], said: str) -> None:
    user.write("data/x", "x")
    os.mkfifo(user.folder / "pipe")
    assert said in user("artifacts", "upload", *words, code=2).err
    assert user.runs() == []

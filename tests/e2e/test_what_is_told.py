"""Nothing is left out in silence: what a run lacks, and what a command line can't mean, is said."""

import pytest

from tests.e2e.conftest import User


def workflow(commands: str, artifacts: str = "[out]") -> str:
    return f"workflows: {{name: train, provider: bash, commands: [{commands}], artifacts: {artifacts}}}"


def test_an_artifact_that_is_not_there(user: User) -> None:
    user.workflows(workflow("mkdir out", "[out, model.bin]"))
    told = "artifact model.bin: there is no such file or folder"
    assert f"warning: {told}\n" in user("run", "train").err
    assert told in user("ps", "-v").text
    user.workflows(workflow("exit 4"))
    assert "failed: exit code 4; artifact out: there is no such file or folder" in user("run", "train", code=4).err


def test_an_attempt_that_there_was_not(user: User) -> None:
    user.workflows(workflow("mkdir out; echo hi"))
    user("run", "train")
    name = user.runs()[0]["name"]
    assert user("logs", name, "--attempt", "1").out == b"hi\n"
    assert "there is no attempt 2" in user("logs", name, "--attempt", "2", code=2).err
    assert "there is no attempt 2" in user("logs", name, "-f", "--attempt", "2", code=2).err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tag", "my tag"], "`my tag` can't be a tag"),
        (["--hlep"], "did you mean `--help`?"),
        (["--lr", "3"], "`train` doesn't use ${{ run.args }}, and it has no variables"),
    ],
)
def test_words_that_nothing_wants(user: User, words: list[str], says: str) -> None:
    user.workflows(workflow("mkdir out"))
    assert says in user("run", "train", *words, code=2).err
    assert user.runs() == []


def test_docker_that_is_switched_off(user: User) -> None:
    user.workflows("workflows: {name: train, image: python:3.11, commands: [echo]}")
    assert "hint: unset DSTACK_LOCAL_MODE" in user("run", "train", code=2).err

"""Secrets: every job has them, nobody sees them."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import User, files_with, until
from tests.e2e.test_run import commands

VALUE = "s3cret-value-4711"
# a shell's command that names the files that hold it, in places that are put behind it; it doesn't hold it itself
SEARCH = "printf %s%s s3cret- value-4711 | grep -rslFf - --devices=skip"


USE = """
    workflows:
      - name: use
        provider: bash
        env: {URL: "https://me:${{ secrets.TOKEN }}@host/", OTHER: "x"}
        commands:
          - python3 check.py ${{ run.args }} $(printf %s ${{ secrets.TOKEN }} | base64)
          - echo ${{ secrets.TOKEN }} "a ${{ secrets.TOKEN }}" 'b ${{ secrets.TOKEN }}' $URL
          - printf s3cret; sleep 0.3; echo -value-4711
          - until [ -e ~/go ]; do sleep 0.05; done; mkdir out; echo fine > out/x
        artifacts: [out]
"""


def add(user: User, name: str, value: str, verb: str = "add") -> str:
    process = user.start("secrets", verb, name, stdin=subprocess.PIPE)
    out, err = process.communicate(value.encode())
    assert process.returncode == 0, err
    return (out + err).decode()


def kept(user: User) -> list[Path]:
    """The files of the state folder, store and database and all, that hold the value."""
    return files_with(user.home, VALUE.encode())


def test_a_job_has_it_and_nothing_shows_it(user: User) -> None:
    user.workflows(USE)
    user.write(
        "check.py", f"import os, sys; assert os.environ['TOKEN'] == {VALUE[:3]!r} + {VALUE[3:]!r}; print(sys.argv[1:])"
    )
    told = add(user, "TOKEN", VALUE + "\n")
    name = user.submit("use", "arg")
    user.wait_for_log(name, "\n***\n")
    encoded = base64.b64encode(VALUE.encode()).decode()
    assert user("logs", name).text == f"['arg', '{encoded}']\n*** a *** b *** https://me:***@host/\n***\n"
    assert not [line for line in commands() if VALUE in line]
    for path in (user.home / "runners").glob("*/home"):
        (path / "go").touch()
    assert user.wait(name)["status"] == "done"
    views = [user(*words).text for words in (("secrets", "list"), ("ps", "-a", "-v"), ("ps", "-a", "--json"))]
    assert VALUE not in "".join([told, *views])
    assert "TOKEN" in views[0]
    assert not kept(user)


def test_env_wins_and_an_update_counts_for_the_next_attempt(user: User) -> None:
    user.workflows("workflows: {name: show, env: {B: file}, commands: ['echo $A-$B-$C | rev']}")
    for name in ("A", "B", "C"):
        add(user, name, f"secret{name}")
    assert "enil-elif-Aterces" in user("run", "show", "-e", "C=line").text
    add(user, "A", "another1", "update")
    assert "Cterces-elif-1rehtona" in user("run", "show").text
    user("secrets", "delete", "A", "-y")
    assert "Cterces-elif-\n" in user("run", "show").text
    names = [secret["name"] for secret in json.loads(user("secrets", "list", "--json").out)]
    assert names == ["B", "C"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "1A", "x"), "`1A` can't be the name of a secret"),
        (("add", "PATH", "x"), "a variable that a job has for something else"),
        (("add", "TOKEN", "x"), "the project has a secret TOKEN already"),
        (("add", "OTHER", ""), "the secret is empty"),
        (("add", "OTHER", "x" * 123_000), "the secret has 123000 bytes"),
        (("update", "TOKN", "x"), "the project has no secret TOKN\nhint: did you mean TOKEN? there are: TOKEN"),
        (("delete", "TOKN", "-y"), "did you mean TOKEN?"),
        (("delete", "TOKEN"), "nobody is there to answer"),
    ],
)
def test_slips(user: User, words: tuple[str, ...], said: str) -> None:
    add(user, "TOKEN", VALUE)
    answer = user("secrets", *words, code=2)
    assert said in answer.err
    assert VALUE not in answer.err


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("commands: ['echo ${{ secrets.TOKN }}']", "did you mean TOKEN? there are: TOKEN"),
        ("commands: [x]\n    artifacts: ['${{ secrets.TOKEN }}']", "can't stand here"),
        ("commands: [x]\n    image: 'a/${{ secrets.TOKEN }}'", "can't stand here"),
        ("commands: [\"cat <<'E'\\n${{ secrets.TOKEN }}\\nE\"]", "here-document"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(user: User, field: str, said: str) -> None:
    user.write(".dstack/workflows.yaml", f"workflows:\n  - name: x\n    {field}\n")
    add(user, "TOKEN", VALUE)
    assert said in user("run", "x", code=2).err
    assert user.runs() == []


def test_another_key_is_told_before_anything_starts(user: User) -> None:
    user.workflows("workflows: {name: x, commands: [echo $TOKEN | rev]}")
    user.env["DSTACK_SECRETS_KEY"] = base64.b64encode(bytes(range(32))).decode()
    add(user, "TOKEN", "abcdef")
    assert "fedcba" in user("run", "x").text
    user("server", "stop")
    del user.env["DSTACK_SECRETS_KEY"]
    answer = user("run", "x", code=2)
    assert "isn't the one that sealed the secret TOKEN" in answer.err
    add(user, "TOKEN", "abcdef", "update")
    assert "fedcba" in user("run", "x").text
    user("server", "stop")
    user.env["DSTACK_SECRETS_KEY"] = "short"
    assert "DSTACK_SECRETS_KEY isn't a key" in user("ps", code=2).err


def test_on_a_terminal_it_is_asked_for_without_echo(user: User) -> None:
    user("secrets", "list")
    ours, theirs = pty.openpty()
    process = user.start("secrets", "add", "TOKEN", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""
    while b"Value of TOKEN" not in seen:
        seen += os.read(ours, 1000)
    os.write(ours, VALUE.encode() + b"\n")
    assert process.wait(60) == 0
    assert VALUE.encode() not in seen + os.read(ours, 1000)
    os.close(ours)
    user.workflows("workflows: {name: x, commands: ['printf %s $TOKEN | wc -c']}")
    assert str(len(VALUE)) in user("run", "x").text
    until(lambda: not kept(user))

"""`setup`: commands whose result is made once and used again, as processes of this computer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import User, files_with, until

TOOL = """
workflows:
  - name: it
    setup:
      - echo building with $(cat words.txt)
      - printf '#!/bin/sh\\necho a tool from "$0" says %s\\n' "$(cat words.txt)" > $VIRTUAL_ENV/bin/tool
      - chmod +x $VIRTUAL_ENV/bin/tool; touch left ~/left
    commands: [tool, ls -A . ~]
"""


@pytest.fixture
def tool(user: User) -> User:
    user.write("words.txt", "hello\n")
    user.workflows(TOOL)
    return user


def kept(user: User) -> list[Path]:
    return sorted((user.home / "setups").glob("*"))


def built(text: str) -> bool:
    assert ("building" in text) != ("used again" in text)
    return "building" in text


def test_a_second_run_has_what_the_first_one_built(tool: User) -> None:
    first, second = tool("run", "it").text, tool("run", "it").text
    assert (built(first), built(second)) == (True, False)
    for text in (first, second):
        assert "runners/" in text and "says hello" in text
        # only what was installed reaches the job, the first time, too
        assert "left" not in text.replace("left behind", "")
    assert len(kept(tool)) == 1


def test_what_the_commands_name_counts(tool: User) -> None:
    tool("run", "it")
    tool.write("other.txt", "no matter\n")
    assert not built(tool("run", "it").text)
    tool.write("words.txt", "bye\n")
    text = tool("run", "it").text
    assert built(text) and "says bye" in text
    assert len(kept(tool)) == 2


def test_rebuild_makes_it_anew_and_keeps_that(tool: User) -> None:
    tool("run", "it")
    [before] = [json.loads((each / "about.json").read_text())["root"] for each in kept(tool)]
    assert built(tool("run", "it", "--rebuild").text)
    [after] = [json.loads((each / "about.json").read_text())["root"] for each in kept(tool)]
    assert before != after
    assert not built(tool("run", "it").text)


def test_rebuild_where_there_is_nothing_to_build(user: User) -> None:
    user.workflows("workflows: {name: it, commands: [echo hi]}")
    assert "no job that runs has a `setup`" in user("run", "it", "--rebuild").err
    assert "contradict" in user("run", "it", "--rebuild", "--reuse", code=2).err


def test_a_setup_that_fails_is_not_kept(user: User) -> None:
    user.workflows("workflows: {name: it, setup: [echo half, exit 7, echo whole], commands: [echo ran]}")
    for _ in range(2):
        answer = user("run", "it", code=7)
        assert "half" in answer.text and "ran" not in answer.text and "whole" not in answer.text
        assert "a command of `setup` failed" in answer.err
    assert kept(user) == []


def test_one_that_is_stopped_or_takes_too_long_is_not_kept(user: User) -> None:
    text = "workflows: [{name: it, setup: [echo begun, sleep 60], commands: [echo ran]%s}]"
    user.workflows(text % "")
    name = user.submit("it")
    user.wait_for_log(name, "begun")
    user("stop", name, "-y")
    assert user.wait(name)["status"] == "stopped"
    user.workflows(text % ", max_duration: 1s")
    assert "max_duration" in user("run", "it", code=143).err
    assert kept(user) == []
    until(lambda: list((user.home / "runners").glob("*/")) == [])


def test_two_at_once(tool: User) -> None:
    names = [tool.submit("it") for _ in range(2)]
    assert [tool.wait(name)["status"] for name in names] == ["done", "done"]
    assert all("says hello" in tool("logs", name).text for name in names)
    assert len(kept(tool)) == 1
    assert not built(tool("run", "it").text)


def test_a_secret_is_masked_and_kept_nowhere(user: User) -> None:
    user("secrets", "add", "TOKEN", "s3cr3t-v4lue")
    user.workflows("workflows: {name: it, setup: ['echo got ${{ secrets.TOKEN }}'], commands: [echo ran]}")
    assert "got ***" in user("run", "it").text
    # another value opens the same door
    user("secrets", "update", "TOKEN", "an0ther-v4lue")
    assert "used again" in user("run", "it").text
    assert files_with(user.home, b"s3cr3t-v4lue") == []


def test_prune_removes_it(tool: User) -> None:
    tool("run", "it")
    shown = tool("prune", "cache", "it", "-y").text
    assert "local" in shown and "freed" in shown
    assert kept(tool) == []
    assert built(tool("run", "it").text)


def damage(place: Path) -> None:
    (place / "python/bin/tool").write_text("#!/bin/sh\necho broken\n")


def half(place: Path) -> None:
    (place / "about.json").write_text("{")


@pytest.mark.parametrize("spoil", [damage, half])
def test_one_that_was_written_into_is_built_anew(tool: User, spoil: Callable[[Path], None]) -> None:
    tool("run", "it")
    spoil(kept(tool)[0])
    text = tool("run", "it").text
    assert built(text) and "says hello" in text


def dry(user: User) -> str:
    """What a plan says of the setup."""
    [line] = [line for line in user("run", "it", "--dry-run").text.splitlines() if "setup:" in line]
    return line.strip()


def test_a_plan_says_whether_it_is_there(tool: User) -> None:
    tool.write("ignored/x", "x")
    tool.write(".gitignore", "ignored\n")
    assert "not built before" in dry(tool)
    tool("run", "it")
    assert "built before (" in dry(tool) and "on local)" in dry(tool)
    tool.write("ignored/x", "y")
    plan = json.loads(tool("run", "it", "--dry-run", "--json").out)
    [place] = plan["jobs"][0]["setup"]["places"]
    assert place["place"] == "local" and place["size"] > 0
    tool.write("words.txt", "bye\n")
    assert "not built before" in dry(tool)
    assert "anew" in tool("run", "it", "--dry-run", "--rebuild").text


def test_a_plan_does_not_say_what_it_cannot_know(user: User) -> None:
    user.workflows("""
        workflows:
          - {name: makes, commands: [mkdir out, echo six > out/list.txt], artifacts: [out]}
          - {name: it, deps: [makes], setup: [cat out/list.txt], commands: [echo ran]}
    """)
    assert "known once" in dry(user)
    assert "ran" in user("run", "it").text


def test_a_plan_reads_the_whole_folder_as_the_job_has_it(user: User) -> None:
    """`.` is read by content; the folder's own mode, and what isn't sent, don't count."""
    user.folder.chmod(0o700)
    user.write("src/a.py", "x\n")
    user.write("big/ignored", "x")
    user.write(".dstackignore", "big\n")
    user.workflows("workflows: {name: it, setup: [ls .], commands: [echo ran]}")
    user("run", "it")
    assert "built before" in dry(user)
    user.write("src/a.py", "y\n")
    assert "not built before" in dry(user)

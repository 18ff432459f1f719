"""What has ended starts again: the same code, environment and secrets, with what it saved or without."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import User

# counts how often it ran in what it saves, and ends well the third time
COUNT = """
    workflows:
      - name: count
        env: {NAME: file}
        commands:
          - cat source.txt; echo "$NAME $GIVEN"
          - mkdir -p out; echo x >> out/runs; wc -l < out/runs
          - test $(wc -l < out/runs) -ge 3
        artifacts: [out]
      - name: long
        commands: [mkdir -p out, echo x >> out/runs, wc -l < out/runs, echo ready, sleep 600]
        artifacts: [out]
"""


@pytest.fixture
def counted(user: User) -> str:
    """A run that failed once."""
    user.workflows(COUNT)
    user.write("source.txt", "old code\n")
    user("run", "count", "-e", "GIVEN=given", code=1)
    user.write("source.txt", "new code\n")
    return str(user.runs()[0]["name"])


def test_a_job_goes_on_with_what_it_saved(user: User, counted: str) -> None:
    answer = user("resume", f"{counted}.count", code=1)
    assert answer.text == "old code\nfile given\n2\n"
    user.kill_server()
    assert user("resume", counted).text == "old code\nfile given\n3\n"
    job = user.run(counted)["jobs"][0]
    assert (job["status"], job["attempt"], job["exit_code"]) == ("done", 3, 0)
    assert user("logs", counted).text == "".join(f"old code\nfile given\n{number}\n" for number in (1, 2, 3))
    assert user("logs", counted, "--attempt", "2").text == "old code\nfile given\n2\n"
    assert f"nobody is there to answer: {counted} is done" in user("resume", counted, code=2).err
    assert user("resume", counted, "-y").text == "old code\nfile given\n4\n"


def test_a_run_is_restarted_with_nothing(user: User, counted: str) -> None:
    assert "nobody is there to answer: Begin" in user("restart", counted, "--clear", code=2).err
    assert user("restart", counted, "--clear", "-y", code=1).text.endswith("\n1\n")
    assert user("restart", counted, code=1).text.endswith("\n2\n")
    assert user("restart", counted, "-d").text == f"{counted}\n"
    assert user.wait(counted)["status"] == "done"
    assert "all of" in user("restart", counted, code=2).err
    ended = json.loads(user("restart", counted, "--clear", "-y", "--json", code=1).out)
    assert (ended["status"], ended["jobs"][0]["attempt"]) == ("failed", 5)


@pytest.mark.parametrize(("words", "runs"), [(("stop",), "2\n"), (("stop", "--abort"), "1\n")])
def test_what_was_stopped_goes_on_and_can_be_stopped_again(user: User, words: tuple[str, ...], runs: str) -> None:
    user.workflows(COUNT)
    name = user.submit("long")
    user.wait_for_log(name, "ready")
    user(*words, name, "-y")
    user.wait(name, "stopped", "aborted")
    user("resume", name, "-d")
    user.wait_for_log(name, f"ready\n{runs}ready")
    user("stop", name, "-y")
    run = user.wait(name, "stopped")
    assert run["jobs"][0]["attempt"] == 2


def test_slips(user: User) -> None:
    user.workflows(COUNT)
    name = user.submit("long")
    user.wait_for_log(name, "ready")
    assert f"{name}.long hasn't ended: it is running" in user("resume", name, code=2).err
    assert "hasn't ended" in user("restart", name, code=2).err
    assert "is one job of a run" in user("restart", f"{name}.long", code=2).err
    assert "has no job 'nope'" in user("resume", f"{name}.nope", code=2).err
    assert "there is no run 'nope-1'" in user("restart", "nope-1", code=2).err
    assert user.run(name)["status"] == "running"


def test_the_jobs_of_a_run_start_again_one_after_the_other(user: User) -> None:
    user.workflows("""
        workflows:
          - name: first
            commands: [mkdir -p one, echo x >> one/runs]
            artifacts: [one]
          - name: second
            deps: [first]
            commands: [wc -l < one/runs, exit 3]
    """)
    user("run", "second", code=3)
    name = user.runs()[0]["name"]
    user("restart", name, code=3)
    assert [job["attempt"] for job in user.run(name)["jobs"]] == [1, 2]
    user("restart", name, "--clear", "-y", code=3)
    first, second = user.run(name)["jobs"]
    assert (first["status"], first["attempt"], second["attempt"]) == ("done", 2, 3)
    assert second["started_at"] and user("logs", f"{name}.second").text == "1\n1\n1\n"
    assert second["instances"][-1]["created_at"] >= first["finished_at"]

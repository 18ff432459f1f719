"""What the documents of older dialects let their users type, told afresh: each command is taken as it stands, and does what they say."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import User

STEPS = """
    workflows:
      - name: fetch
        help: Gets the weights
        commands:
          - python3 fetch.py $size
        artifacts:
          - weights/$size
      - name: tune
        help: Goes on learning
        depends-on:
          workflows:
            - fetch
        commands:
          - echo "$run_name $job_id"; ls weights/$size; echo "$variables_as_args"
"""
VARIABLES = """
    variables:
      global:
        size: 124M
        folder: weights

      tune:
        learning_rate: 0.00002
"""
FETCH = """
    import os, pathlib, sys
    folder = pathlib.Path("weights", sys.argv[1])
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(bytes(2000))
    print("fetched", sys.argv[1], os.environ["SIZE"])
"""


@pytest.fixture
def steps(user: User) -> User:
    user.workflows(STEPS)
    user.write(".dstack/variables.yaml", VARIABLES)
    user.write("fetch.py", FETCH)
    return user


def test_help_names_commands_workflows_and_variables(steps: User) -> None:
    commands = steps("--help").text
    for name in ("config", "run", "runners", "runs", "jobs", "stop", "logs", "artifacts"):
        assert f" {name} " in commands or f" {name})" in commands
    assert steps("--version").text.startswith("dstack ")
    listed = steps("run", "--help").text
    assert "fetch     bash      Gets the weights" in listed and "tune      bash      Goes on learning" in listed
    explained = steps("run", "fetch", "--help").text
    assert "--size    default is 124M" in explained and "--folder  default is weights" in explained
    assert "--learning_rate" not in explained
    for command, options in {
        "logs": ("-f, --follow", "-s, --since"),
        "stop": ("-a, --abort",),
        "resume": ("JOB",),
    }.items():
        assert all(option in steps(command, "--help").text for option in options)


def test_a_run_with_another_value_is_told_of_by_status_logs_and_artifacts(steps: User) -> None:
    attached = steps("run", "tune", "--size", "117M")
    assert "RUN" in attached.err and "WORKFLOW  SUBMITTED  STATUS" in attached.err
    name = steps.runs()[0]["name"]
    assert attached.text == f"fetched 117M 117M\n{name} {name}.tune\nw.bin\n--learning_rate 0.00002\n"
    for command in (("status",), ("runs",), ("status", "--last", "1")):
        assert [run["name"] for run in json.loads(steps(*command, "--json").out)] == [name]
    told = steps("status", "-v").text
    assert "--size 117M" in told and f"{name}.fetch: done" in told and f"{name}.tune: done" in told
    job = f"{name}.fetch"
    assert f"{job}" in steps("jobs", name).text
    assert steps("logs", name).text == steps("logs", "--follow", name).text == attached.text
    assert steps("logs", "--since", "5m", job).text == steps("logs", "-s", "2020-01-01T00:00", job).text != ""
    assert steps("artifacts", job).text.splitlines() == ["weights/117M/", "weights/117M/w.bin"]
    assert "2.0 KiB" in steps("artifacts", "-t", job).text
    steps("artifacts", job, "--output", "got")
    assert (steps.folder / "got" / "weights" / "117M" / "w.bin").stat().st_size == 2000


def test_a_stopped_job_is_resumed_with_what_it_saved_and_an_aborted_one_without(user: User) -> None:
    user.workflows("""
        workflows:
          - name: long
            commands: ["mkdir -p out; echo x >> out/lines; wc -l < out/lines; sleep 600"]
            artifacts: [out]
    """)
    name = user.submit("long")
    user.wait_for_log(name, "1")
    user("stop", f"{name}.long", "-y")
    assert user.wait(name)["status"] == "stopped"
    assert user("resume", f"{name}.long", "-d").text == f"{name}\n"
    user.wait_for_log(name, "2")
    user("stop", "-a", name, "-y")
    assert user.wait(name)["status"] == "aborted"
    user("artifacts", name, "--output", "got")
    assert (user.folder / "got" / "out" / "lines").read_text() == "x\n"


SCRIPTS = """
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
"""


def test_scripts_have_variables_and_secrets_in_their_environment_and_the_outputs_of_a_tag(user: User) -> None:
    user.workflows(SCRIPTS)
    user.write(".dstack/variables.yaml", "variables:\n train:\n   batch-size: 64\n   lr: 1.0\n")
    user.write("get.py", "import os\nos.mkdir('data')\nopen('data/x', 'w').write('points')\n")
    user.write(
        "train.py",
        "import os\nprint(open('data/x').read(), os.environ.get('BATCH_SIZE'), os.environ.get('LR'))\n"
        "print(len(os.environ.get('SERVICE_KEY')))\n",
    )
    user("secrets", "add", "SERVICE_KEY", "abcdefgh")
    assert "there is no run" in user("run", "train", code=2).err
    user("run", "get")
    user("tags", "add", "newest", user.runs()[0]["name"])
    assert user("run", "train", "--lr", "0.5").text == "points 64 0.5\n8\n"
    assert [job["name"] for job in user.runs()[0]["jobs"]] == ["train"]


ASK = """
    import sys, time, urllib.request
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            print("served", urllib.request.urlopen("http://127.0.0.1:16006/step").read().decode(), sys.argv[1:])
            break
        except OSError:
            time.sleep(0.1)
"""


def test_arguments_a_program_in_the_background_and_a_cache(user: User) -> None:
    user.workflows("""
        workflows:
            name: train
            provider: bash
            ports:
              - 16006
            commands:
              - mkdir -p logs data; echo one > logs/step; cat data/seen 2>/dev/null || echo nothing is cached
              - python3 -m http.server 16006 --directory logs >/dev/null 2>&1 &
              - python3 ask.py ${{ run.args }}
              - echo cached > data/seen
            cache:
              - path: ./data
            artifacts:
              - path: ./logs
    """)
    user.write("ask.py", ASK)
    answer = user("run", "train", "--batch-size", "32")
    assert answer.text == "nothing is cached\nserved one\n ['--batch-size', '32']\n"
    assert user("run", "train").text == "cached\nserved one\n []\n"
    assert "freed" in user("prune", "cache", "train", "-y").text
    assert user("run", "train").text == "nothing is cached\nserved one\n []\n"
    assert user("artifacts", user.runs()[0]["name"]).text.splitlines() == ["logs/", "logs/step"]

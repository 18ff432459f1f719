"""`dstack run --backend ssh`: a machine of the user's own, through the command line alone. It is left as it was found."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER
from dstack_cloud.ssh import keys
from tests.e2e import amazon as aws
from tests.e2e import engine, own_vm
from tests.e2e import test_secrets as secrets
from tests.e2e.conftest import User, read_until, until
from tests.e2e.own_vm import GUEST, SHUTDOWN_SECONDS, OwnVm
from tests.fakes.seaweed import KEY, REGION, SECRET, Seaweed

pytestmark = pytest.mark.sandbox

TRAIN = """
    workflows:
      - name: train
        provider: bash
        commands:
          - echo "hello from $(cat name.txt) in $PWD"
          - "cat ~/.cache/thing || echo cold; echo warm > ~/.cache/thing"
          - mkdir out && echo weights > out/model.bin
          - exit 3
        artifacts: [out]
        cache: [~/.cache]
"""
WAIT = """
    workflows:
      - name: wait
        provider: bash
        commands: ['trap "echo saving; echo kept > out/x; exit 0" TERM; mkdir out; echo ready; sleep 600 & wait']
        artifacts: [out]
      - {name: hi, provider: bash, commands: [echo hi]}
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnVm]:
    engine.ensure_job_image()
    engine.ensure_machine_image()
    made = own_vm.boot(tmp_path_factory.mktemp("machine"))
    yield made
    made.end()


@pytest.fixture
def machine(booted: OwnVm, user: User) -> Iterator[OwnVm]:
    booted.configure(user)
    yield booted
    own_vm.await_nothing_left(user, booted)


def check_train(user: User) -> None:
    """Twice: log, exit code, artifacts and cache."""
    user.workflows(TRAIN)
    user.write("name.txt", "here\n")
    answers = [user("run", "train", code=3) for _ in range(2)]
    first = b"hello from here in /workflow\n"
    assert [answer.out.replace(first, b"") for answer in answers][1] == b"warm\n"
    assert answers[0].out.startswith(first) and answers[0].out.endswith(b"cold\n")
    name = user.runs()[0]["name"]
    assert user("logs", name).out == answers[1].out
    listed = {entry["path"]: entry["size"] for entry in json.loads(user("artifacts", name, "--json").out)}
    assert listed["out/model.bin"] == 8


def test_log_exit_code_artifacts_and_cache(user: User, machine: OwnVm) -> None:
    check_train(user)


def test_a_user_who_may_not_become_root(user: User, machine: OwnVm) -> None:
    machine.configure(user, user=GUEST)
    check_train(user)


def test_a_secret_is_nowhere_when_its_job_is_over(user: User, machine: OwnVm) -> None:
    """Nor in what Docker keeps of the image that the job's setup made. While it runs no command line has it."""
    user.workflows("""
        workflows:
          - name: use
            setup: ["printf %s ${{ secrets.TOKEN }} | wc -c > /size"]
            env: {URL: "https://me:${{ secrets.TOKEN }}@host/"}
            commands: ['echo $(cat /size) ${{ secrets.TOKEN }} "$URL"', sleep 600]
    """)
    secrets.add(user, "TOKEN", secrets.VALUE)
    name = user.submit("use")
    user.wait_for_log(name, f"{len(secrets.VALUE)} *** https://me:***@host/\n")
    assert secrets.VALUE not in machine.shell("ps -eo args")
    user("stop", name, "-y")
    until(lambda: machine.shell(own_vm.LEFT) == "")
    told = machine.shell("ps -eo args; docker inspect $(docker images -q)")
    assert "dstack-setup:" in told and secrets.VALUE not in told
    # containerd's database isn't looked at: what it deletes stays in its free pages until they are written again
    searched = "/dev/shm /etc /home /opt /root /run /tmp /var --exclude=meta.db"
    assert machine.shell(f"{secrets.SEARCH} {searched} || true") == ""
    assert secrets.kept(user) == []


def test_through_another_machine(user: User, machine: OwnVm) -> None:
    jump = {key: value for key, value in machine.entry(user=GUEST).items() if key != "name"}
    machine.configure(user, host="127.0.0.1", jump=jump)
    check_train(user)


@pytest.mark.seaweed
def test_a_store_that_the_machine_cannot_reach(user: User, machine: OwnVm) -> None:
    with Seaweed() as weed:
        weed.make_bucket("team")
        aws.log_in(user, KEY, SECRET)
        options = {"endpoint": weed.url, "region": REGION, "allow_http": "true"}
        own_vm.write(user, [machine.entry()], store="s3://team", store_options=options)
        check_train(user)
        user("server", "stop")


def test_a_second_job_waits_for_its_turn(user: User, machine: OwnVm) -> None:
    user.workflows(WAIT)
    first = user.submit("wait")
    user.wait_for_log(first, "ready")
    second = user.submit("hi")
    until(lambda: f"waiting: big is busy: it runs {first}" in user("ps").text)
    assert user.run(second)["status"] == "pending"
    assert f"{first}.wait" in user("runners").text
    user("stop", first, "-y")
    assert user.wait(second)["status"] == "done"
    assert user("logs", first).text == "ready\nsaving\n"
    assert user.run(second)["jobs"][0]["message"] == ""


def test_two_side_by_side_one_stopped_one_aborted(user: User, machine: OwnVm) -> None:
    machine.configure(user, jobs=2)
    user.workflows(WAIT)
    stopped, aborted = user.submit("wait"), user.submit("wait")
    for name in (stopped, aborted):
        user.wait_for_log(name, "ready")
    user("stop", aborted, "--abort", "-y")
    assert user.wait(aborted)["status"] == "aborted"
    assert user.run(stopped)["status"] == "running"
    user("stop", stopped, "-y")
    assert user.wait(stopped)["status"] == "stopped"
    assert "out/x" in user("artifacts", stopped).text
    assert "out/x" not in user("artifacts", aborted, code=None).text


def test_a_killed_server_finds_its_job_again(user: User, machine: OwnVm) -> None:
    user.workflows("""
        workflows:
          - {name: count, provider: bash, commands: ['for i in $(seq 1 60); do echo line $i; sleep 0.1; done']}
    """)
    process = user.start("run", "count")
    read_until(process, b"line 5\n")
    user.kill_server()
    rest, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rest.decode().splitlines() == [f"line {n}" for n in range(6, 61)]
    assert list(engine.instances(user).values()) == ["terminated"]


@pytest.mark.parametrize(
    ("login", "seconds"), [(LOGIN_USER, SHUTDOWN_SECONDS), (LOGIN_USER, 0), (GUEST, SHUTDOWN_SECONDS)]
)
def test_a_machine_that_is_restarted(user: User, machine: OwnVm, login: str, seconds: int) -> None:
    machine.configure(user, user=login)
    user.workflows("""
        workflows:
          - name: again
            provider: bash
            commands: ["cat out/x || mkdir out", echo kept > out/x, echo ready, sleep 600]
            artifacts: [out]
    """)
    name = user.submit("again")
    user.wait_for_log(name, "ready")
    machine.restart(seconds)
    until(lambda: list(engine.instances(user).values()) == ["terminated", "busy"])
    # without root nobody is there who would save the first attempt's work after the restart
    user.wait_for_log(name, "kept" if login == LOGIN_USER else "ready")
    user("stop", name, "--abort", "-y")


def test_what_it_has_is_told(user: User, machine: OwnVm) -> None:
    check = user("config", "check").text
    assert "ok    ssh: big: " in check and "CPUs" in check and "Docker 2" in check
    assert "0 of 1 job" in user("runners").text
    assert "big" in user("offers", "--backend", "ssh").text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host_key": keys.generate().public}, "another host key"),
        ({"user": "nobody"}, "key"),
        ({"port": 23}, "refused"),
    ],
)
def test_a_machine_that_does_not_let_us_in(user: User, machine: OwnVm, wrong: dict[str, object], words: str) -> None:
    machine.configure(user, **wrong)
    user.workflows(WAIT)
    for answer in (user("config", "check", code=1).text, user("run", "hi", code=None).err):
        assert "big" in answer and words in answer

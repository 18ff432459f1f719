"""`dstack run --backend sandbox`: a machine that exists only for the job, through the command line alone."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient
from tests.e2e import breaking, engine
from tests.e2e import test_secrets as secrets
from tests.e2e.conftest import User, read_until, until
from tests.e2e.test_dependencies import THREE

pytestmark = pytest.mark.sandbox

THERE = ("--backend", "sandbox")


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def nothing_is_left(user: User) -> Iterator[None]:
    yield
    engine.await_nothing_held(user)


def test_log_exit_code_and_artifacts_of_a_job_that_fails(user: User) -> None:
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands:
              - echo "hello from $(cat name.txt) in $PWD"
              - mkdir -p out/deep && echo weights > out/deep/model.bin && ln -s deep/model.bin out/latest
              - exit 3
              - echo never
            artifacts: [out]
    """)
    user.write("name.txt", "here\n")
    answer = user("run", "train", *THERE, code=3)
    assert answer.out == b"hello from here in /workflow\n"
    [run] = user.runs()
    assert (run["status"], run["exit_code"]) == ("failed", 3)
    assert user("logs", run["name"]).out == answer.out
    listed = {entry["path"]: entry["size"] for entry in json.loads(user("artifacts", run["name"], "--json").out)}
    assert listed["out/deep/model.bin"] == 8
    user("artifacts", run["name"], "--output", "got")
    assert (user.folder / "got/out/latest").read_text() == "weights\n"


def test_a_setup_over_two_machines(user: User) -> None:
    user.workflows("""
        workflows:
          - name: it
            setup: [echo building, rm /etc/issue, echo made > /usr/made]
            commands: [cat /usr/made, ls /etc/issue || true]
    """)
    assert b"building" in user("run", "it", *THERE).out
    again = user("run", "it", *THERE).out
    assert b"used again" in again and b"made\n" in again and b"building" not in again
    assert b"No such file" in again
    assert len(engine.instances(user)) == 2


def test_a_cache_over_two_machines_and_its_end(user: User) -> None:
    user.workflows("""
        workflows:
          - name: cached
            provider: bash
            commands: ["cat ~/.cache/thing || echo cold", echo warm > ~/.cache/thing, cat kept/x || true, echo x > kept/x]
            cache: [~/.cache, kept]
    """)
    assert b"cold\n" in user("run", "cached", *THERE).out
    assert user("run", "cached", *THERE).out == b"warm\nx\n"
    assert len(engine.instances(user)) == 2
    assert "cached" in user("prune", "cache", "cached", "-y").text
    assert json.loads(user("prune", "cache", "cached", "-y", "--json").out)["entries"] == []


def test_outputs_go_from_machine_to_machine_and_are_used_again(user: User) -> None:
    user.workflows(THREE)
    user.write("code.txt", "code\n")
    assert user("run", "train", *THERE).text == "downloaded\nencoded\nweights\nWEIGHTS\ncode\n"
    assert len(engine.instances(user)) == 3
    assert user("run", "train", *THERE).text == "weights\nWEIGHTS\ncode\n"
    assert len(engine.instances(user)) == 4


def test_two_side_by_side_one_stopped_one_aborted(user: User) -> None:
    user.workflows("""
        workflows:
          - name: long
            provider: bash
            commands: ['trap "echo saving; echo kept > out/x; exit 0" TERM; mkdir out; echo ready; sleep 600 & wait']
            artifacts: [out]
    """)
    stopped, aborted = user.submit("long", *THERE), user.submit("long", *THERE)
    for name in (stopped, aborted):
        user.wait_for_log(name, "ready")
    assert sorted(engine.instances(user).values()) == ["busy", "busy"]
    user("stop", stopped, "-y")
    user("stop", aborted, "--abort", "-y")
    assert user.wait(stopped)["status"] == "stopped"
    assert user.wait(aborted)["status"] == "aborted"
    assert user("logs", stopped).text == "ready\nsaving\n"
    assert "out/x" in user("artifacts", stopped).text
    assert "out/x" not in user("artifacts", aborted, code=None).text


def test_an_image_that_only_this_computer_has(user: User) -> None:
    with engine.tagged(engine.ensure_job_image(), "acme-of-nowhere/trainer:7") as image:
        user.workflows(f"""
            workflows:
              - name: own
                provider: docker
                image: {image}
                commands: [echo "$KIND", python3 -c 'print(6 * 7)']
                env: [KIND=mine]
        """)
        assert user("run", "own", *THERE).out == b"mine\n42\n"


def test_a_port_is_reached_through_a_tunnel(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        local = taken.getsockname()[1]
        user.workflows(f"""
            workflows:
              - name: web
                provider: bash
                ports: ["8765:{local}"]
                commands: [echo served > page, python3 -m http.server 8765 --bind 127.0.0.1]
        """)
        process = user.start("run", "web", *THERE)
        assert process.stderr
        line = until(lambda: re.search(rb"port 8765 at (http://localhost:\d+) (.*)", process.stderr.readline()))
        assert line.group(2).decode() == f"({local} is taken here)"
        with urllib.request.urlopen(f"{line.group(1).decode()}/page", timeout=60) as page:
            assert page.read() == b"served\n"
        user("stop", user.runs()[0]["name"], "-y")
        process.communicate(timeout=60)
        assert process.returncode == 130


def test_a_killed_server_finds_the_machine_again(user: User) -> None:
    user.workflows("""
        workflows:
          - name: count
            provider: bash
            commands: ['for i in $(seq 1 60); do echo line $i; sleep 0.1; done', mkdir out, echo 1 > out/x]
            artifacts: [out]
    """)
    process = user.start("run", "count", *THERE)
    read_until(process, b"line 5\n")
    user.kill_server()
    rest, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    expected = [f"line {n}" for n in range(1, 61)]
    assert rest.decode().splitlines() == expected[5:]
    [run] = user.runs()
    assert user("logs", run["name"]).text.splitlines() == expected
    assert "out/x" in user("artifacts", run["name"]).text
    assert len(engine.instances(user)) == 1


def test_stopped_before_the_machine_is_up(user: User) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    name = user.submit("hi", *THERE)
    user.wait(name, "provisioning")
    user("stop", name, "-y")
    assert user.wait(name)["status"] == "stopped"
    assert user("logs", name).out == b""


def test_a_secret_on_a_machine_is_in_its_job_alone(user: User) -> None:
    """Who may use the machine's Docker engine while the job runs can read its environment there: that is said."""
    secret = secrets.VALUE
    user.workflows("""
        workflows:
          - name: use
            setup: ["printf %s ${{ secrets.TOKEN }} | wc -c"]
            env: {URL: "https://me:${{ secrets.TOKEN }}@host/"}
            commands: ['echo ${{ secrets.TOKEN }} "$URL" $(printf %s "$TOKEN" | wc -c)', sleep 600]
    """)
    secrets.add(user, "TOKEN", secret)
    name = user.submit("use", *THERE)
    user.wait_for_log(name, f"*** https://me:***@host/ {len(secret)}\n")
    ref = breaking.machine(user, name)
    processes = breaking.inside(ref, "ps auxww")
    assert "sleep 600" in processes and secret not in processes
    assert secret not in json.dumps(DockerClient().call("GET", f"/containers/{ref}/json"))
    places = "/etc /home /opt /root /run /tmp /var/lib/cloud /var/lib/dstack /var/log"
    # the engine has what it runs the container with there
    assert breaking.inside(ref, f"{secrets.SEARCH} --exclude-dir=containerd {places} || true").strip() == ""
    assert secrets.kept(user) == []


def test_a_job_that_eats_all_of_the_memory(user: User) -> None:
    user.workflows("workflows: {name: hungry, provider: bash, commands: [python3 hungry.py], artifacts: [out]}")
    user.write("hungry.py", "import os; os.mkdir('out'); open('out/x', 'w').close(); bytearray(3 * 2**30)\n")
    answer = user("run", "hungry", *THERE, code=137)
    assert "out of memory" in answer.err
    assert "out/x" in user("artifacts", user.runs()[0]["name"]).text


def test_a_machine_that_dies(user: User) -> None:
    user.workflows("workflows: {name: long, provider: bash, commands: [echo ready, sleep 600]}")
    process = user.start("run", "long", *THERE)
    read_until(process, b"ready\n")
    [machine] = engine.instances(user)
    DockerClient().call("POST", f"/containers/dstack-{machine}/kill")
    # on another machine
    read_until(process, b"ready\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "attempt 1 on sandbox/sandbox.small: lost (it was killed)" in err.decode()
    [job] = user.runs()[0]["jobs"]
    assert [instance["ending"] for instance in job["instances"]] == ["lost", ""]

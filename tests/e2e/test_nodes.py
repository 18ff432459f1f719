"""`nodes: 2` on throw-away machines: two containers that reach each other, all or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dstack_cloud.client import Client
from tests.e2e import engine
from tests.e2e.conftest import User, until

pytestmark = pytest.mark.sandbox

THERE = ("--backend", "sandbox")
TALK = """
import os, socket
rank, master = int(os.environ["DSTACK_NODE_RANK"]), os.environ["MASTER_ADDR"]
assert os.environ["DSTACK_NODES_IPS"].split("\\n")[0] == master
port = int(os.environ["MASTER_PORT"])
if rank == 0:
    peer, _ = socket.create_server(("", port)).accept()
    print("heard", peer.recv(100).decode())
else:
    import time
    for _ in range(600):
        try:
            socket.create_connection((master, port)).sendall(b"node 1")
            print("told", flush=True)
            break
        except OSError:
            time.sleep(0.1)
"""


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def nothing_is_left(user: User) -> Iterator[None]:
    yield
    engine.await_nothing_held(user)


def test_two_nodes_talk_to_each_other(user: User) -> None:
    """The service that hands out the machine's own credentials stays closed to them."""
    user.workflows("""
        workflows:
          - name: talk
            nodes: 2
            commands:
              - python talk.py
              - curl -s -m 5 http://169.254.169.254/latest/meta-data/ && echo open || true
              - mkdir -p out && echo $DSTACK_NODE_RANK | tee out/rank out/$DSTACK_NODE_RANK >/dev/null && exit $DSTACK_NODE_RANK
            artifacts: [out]
    """)
    user.write("talk.py", TALK)
    assert "2 nodes" in user("run", "talk", *THERE, "--dry-run").text
    answer = user("run", "talk", *THERE, code=1)
    assert sorted(answer.text.splitlines()) == ["[0] heard node 1", "[1] told"]
    [run] = user.runs()
    assert [job["status"] for job in run["jobs"]] == ["failed", "failed"]
    assert [job["message"] for job in run["jobs"]] == ["node 1 failed: exit code 1", "exit code 1"]
    for name, rank, files in (
        (f"{run['name']}.talk.1", "1\n", {"1", "rank"}),
        (run["name"], "0\n", {"0", "1", "rank"}),
    ):
        user("artifacts", name, "--output", f"got/{name}")
        assert {path.name for path in (user.folder / "got" / name / "out").iterdir()} == files
        assert (user.folder / "got" / name / "out/rank").read_text() == rank


def test_where_one_machine_dies_both_go_on_elsewhere(user: User) -> None:
    user.workflows("""
        workflows:
          - name: train
            nodes: 2
            commands: ['mkdir -p out; echo x >> out/tries; cat out/tries; test $(wc -l < out/tries) = 2 || sleep 600']
            artifacts: [{path: out, mount: true}]
    """)
    name = user.submit("train", *THERE)
    for node in (f"{name}.train.0", f"{name}.train.1"):
        user.wait_for_log(node, "x")
    client = Client(user.home, autostart=False)
    until(lambda: any(save["job"] == "train.1" and save["files"] for save in client.saves(name)))
    client.inflict(f"{name}.train.1", "kill")
    until(lambda: user.run(name)["jobs"][0]["attempt"] == 2)
    run = user.wait(name)
    assert run["status"] == "done"
    assert [job["attempt"] for job in run["jobs"]] == [2, 2]
    assert user("logs", f"{name}.train.0").text.splitlines().count("x") == 3
    endings = [instance["ending"] for job in run["jobs"] for instance in job["instances"]]
    assert endings == ["", "", "lost", ""]


def test_without_retry_one_machine_that_dies_ends_both_and_a_resume_goes_on(user: User) -> None:
    user.workflows("""
        workflows:
          - name: train
            nodes: 2
            retry: false
            commands: ['mkdir -p out; echo x >> out/tries; cat out/tries; test $(wc -l < out/tries) = 2 || sleep 600']
            artifacts: [{path: out, mount: true}]
    """)
    name = user.submit("train", *THERE)
    for node in (f"{name}.train.0", f"{name}.train.1"):
        user.wait_for_log(node, "x")
    client = Client(user.home, autostart=False)
    until(lambda: any(save["job"] == "train.1" and save["files"] for save in client.saves(name)))
    client.inflict(f"{name}.train.1", "kill")
    run = user.wait(name)
    assert (run["status"], [job["attempt"] for job in run["jobs"]]) == ("failed", [1, 1])
    assert all("node 1: the machine was lost on sandbox" in job["message"] for job in run["jobs"])
    assert "says `retry: false`" in run["jobs"][0]["message"]
    engine.await_nothing_held(user)
    user("resume", name, "-y")
    assert user.wait(name)["status"] == "done"

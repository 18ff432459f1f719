"""`nodes: 2` on throw-away machines: two containers that reach each other, all or none; PyTorch and Ray over both."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from dstack_cloud.client import Client
from tests.e2e import engine, torch_image
from tests.e2e.conftest import FINISHED, User, until

pytestmark = pytest.mark.sandbox

THERE = ("--backend", "sandbox")
# PyTorch and Ray are some hundred megabytes, which each of two machines gets at the same time
COPYING = 240.0
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
# adds up ones over all processes until it has been interrupted once, and then three times more
TRAIN = """
import sys, time
from pathlib import Path
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
rank, state = dist.get_rank(), Path("out/step")
step = torch.tensor(int(state.read_text()) if state.exists() else 0)
# the machines saved at different moments
dist.all_reduce(step, dist.ReduceOp.MIN)
total = torch.tensor(rank + 1)
dist.all_reduce(total)
print(f"rank {rank} of {dist.get_world_size()} has {sys.argv[1:]}: sum {total} from step {step}", flush=True)
state.parent.mkdir(exist_ok=True)
end = step + 3 if step else 10**6
while step < end:
    one = torch.tensor([0.5])
    dist.all_reduce(one)
    step += int(one)
    if step == 20:
        # once: a file that is written to all the time is saved at the end only
        state.write_text(str(int(step)))
    time.sleep(0.1)
"""
WHERE = """
import os, sys, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init()

@ray.remote
def calculate(words):
    return ray.util.get_node_ip_address(), eval(" ".join(words))

nodes = [node["NodeID"] for node in ray.nodes()]
there = [calculate.options(scheduling_strategy=On(node, soft=False)).remote(sys.argv[1:]) for node in nodes]
addresses, results = zip(*ray.get(there))
assert sorted(addresses) == sorted(os.environ["DSTACK_NODES_IPS"].split("\\n")), addresses
print(*set(results), "on each of", len(nodes), "nodes, which are those of the run", flush=True)
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


def await_line(user: User, name: str, node: int, text: str) -> None:
    def log() -> str:
        return user("logs", f"{name}.train.{node}").text

    until(lambda: text in log() or user.run(name)["status"] in FINISHED, COPYING)
    assert text in log()


def submit_training(user: User) -> str:
    """The run's name, once both nodes are at work."""
    user.write("train.py", TRAIN)
    user.workflows(f"""
        workflows:
          - name: train
            provider: torchrun
            image: {torch_image.ensure()}
            file: train.py
            args: --seed 7
            nodes: 2
            nproc_per_node: 1
            artifacts: [{{path: out, mount: true}}]
    """)
    name = user.submit("train", *THERE)
    for node in (0, 1):
        await_line(user, name, node, f"rank {node} of 2 has ['--seed', '7']: sum 3 from step 0")
    return name


@pytest.mark.timeout(600)
def test_where_one_machine_dies_training_goes_on_elsewhere_from_what_was_saved(user: User) -> None:
    name = submit_training(user)
    client = Client(user.home, autostart=False)
    until(lambda: len({save["job"] for save in client.saves(name) if save["files"]}) == 2)
    client.inflict(f"{name}.train.1", "kill")
    until(lambda: user.run(name)["status"] in FINISHED, COPYING)
    run = user.run(name)
    assert run["status"] == "done"
    assert [job["attempt"] for job in run["jobs"]] == [2, 2]
    endings = [instance["ending"] for job in run["jobs"] for instance in job["instances"]]
    assert endings == ["", "", "lost", ""]
    began = [re.findall(r"sum 3 from step (\d+)", user("logs", f"{name}.train.{node}").text) for node in (0, 1)]
    assert began[0] == began[1] and began[0][0] == "0" and int(began[0][1]) > 0


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


@pytest.mark.timeout(600)
def test_a_ray_cluster_has_tasks_on_both_nodes(user: User) -> None:
    user.write("where.py", WHERE)
    user.workflows("workflows: [{name: where, provider: ray, file: where.py, args: [6, '*', 7], nodes: 2}]")
    answer = user("run", "where", *THERE, timeout=400)
    assert "[0] 42 on each of 2 nodes, which are those of the run" in answer.text.splitlines()
    assert [job["status"] for job in user.runs()[0]["jobs"]] == ["done", "done"]

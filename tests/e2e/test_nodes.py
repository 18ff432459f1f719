"""`nodes: 2` on throw-away machines: two containers that reach each other, all or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import engine
from tests.e2e.conftest import User

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
    user.workflows("""
        workflows:
          - name: talk
            nodes: 2
            commands: [python talk.py, mkdir -p out, 'echo $DSTACK_NODE_RANK > out/$DSTACK_NODE_RANK']
            artifacts: [out]
    """)
    user.write("talk.py", TALK)
    answer = user("run", "talk", *THERE)
    print(answer.text, answer.err)
    [run] = user.runs()
    print(run)
    assert run["status"] == "done"

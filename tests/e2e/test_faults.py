"""Machines that are broken from the start, or break under a job: it goes on, or says at once what is wrong. Nothing is left."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.client import Client
from tests.e2e import breaking, engine
from tests.e2e.conftest import User, until

pytestmark = pytest.mark.sandbox
REGISTRY = Path(__file__).parents[1] / "unit" / "runner" / "registry.py"

ANOTHER_HOST_KEY = """
ssh-keygen -q -t ed25519 -N '' -f /tmp/other
python3 - <<'END'
import json, pathlib
seed = pathlib.Path('/var/lib/cloud/seed/nocloud/user-data')
first, _, rest = seed.read_text().partition('\\n')
document = json.loads(rest)
for part, name in (('ed25519_private', 'other'), ('ed25519_public', 'other.pub')):
    document['ssh_keys'][part] = pathlib.Path('/tmp', name).read_text()
seed.write_text(first + '\\n' + json.dumps(document))
END
"""
BROKEN_ENGINE = "echo '{' >/etc/docker/daemon.json"
NO_ENGINE = "for unit in docker.service docker.socket; do ln -s /dev/null /etc/systemd/system/$unit; done"
LOCKED_REGISTRY = f"""
cat >/run/registry.py <<'END'
{REGISTRY.read_text()}
import signal
with registry('me', 'hush', 5000, 40_000_000):
    signal.pause()
END
setsid python3 /run/registry.py >/dev/null 2>&1 &
until python3 -c 'import socket; socket.create_connection(("127.0.0.1", 5000))' 2>/dev/null; do sleep 0.1; done
"""
# an engine that can ask another registry as well would only tell of that one
SMALL_DISK = LOCKED_REGISTRY + "mount -t tmpfs -o size=20m tmpfs /var/lib/docker"
IMAGE = "127.0.0.1:5000/team/thing:1"


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def nothing_is_left(user: User) -> Iterator[None]:
    yield
    engine.await_nothing_held(user)


@pytest.mark.parametrize(
    ("workflow", "script", "says"),
    [
        pytest.param("hi", ANOTHER_HOST_KEY, "showed another host key", id="host-key"),
        pytest.param("large", SMALL_DISK, "disk is full", id="disk"),
        pytest.param("hi", BROKEN_ENGINE, "no Docker engine answers", id="engine"),
        pytest.param("hi", NO_ENGINE, "Docker engine can't be started", id="no-engine"),
        pytest.param("locked", LOCKED_REGISTRY, "wants a login", id="login"),
    ],
)
def test_a_machine_that_is_broken_from_the_start(user: User, workflow: str, script: str, says: str) -> None:
    breaking.configure(user, boot_delay=breaking.HELD)
    user.workflows(f"""
        workflows:
          - {{name: hi, commands: [echo never]}}
          - {{name: locked, image: '{IMAGE}', commands: [echo never]}}
          - {{name: large, image: '{IMAGE}', commands: [echo never], registry_auth: {{username: me, password: hush}}}}
    """)
    name = user.submit(workflow)
    ref = breaking.held_machine(user, name)
    breaking.inside(ref, script)
    breaking.boot(ref)
    run = user.wait(name)
    assert run["status"] == "failed"
    assert says in run["jobs"][0]["message"]
    assert user("logs", name).out == b""


COUNT = "for i in $(seq 1 100); do echo line $i; sleep 0.1; done"
LINES = [f"line {n}" for n in range(1, 101)]
FOLDER = "/var/lib/dstack/runner"


def lines(process: subprocess.Popen[bytes], last: str) -> list[str]:
    """What an attached terminal shows up to a line."""
    assert process.stdout
    seen = [""]
    while seen[-1] != last:
        seen.append(until(process.stdout.readline).decode().strip())
    return seen[1:]


def test_sshd_dies_and_later_server_and_terminal_are_asleep(user: User) -> None:
    """The job goes on; what it said meanwhile, and that it ended, is seen afterwards."""
    user.workflows(f"workflows: {{name: count, commands: ['{COUNT}', mkdir out, echo 1 > out/x], artifacts: [out]}}")
    process = user.start("run", "count", "--backend", "sandbox")
    seen = lines(process, "line 3")
    ref = breaking.machine(user, name := user.runs()[0]["name"])
    breaking.close_ssh(ref)
    breaking.await_inside(ref, f"grep -q 'line 30' {FOLDER}/log")
    breaking.open_ssh(ref)
    seen += lines(process, "line 50")
    sleepers = (user.server_pid(), process.pid)
    for pid in sleepers:
        os.kill(pid, signal.SIGSTOP)
    breaking.await_inside(ref, f"grep -q uploading {FOLDER}/state.json")
    for pid in sleepers:
        os.kill(pid, signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert seen + out.decode().splitlines() == LINES == user("logs", name).text.splitlines()
    assert "out/x" in user("artifacts", name).text
    assert len(engine.instances(user)) == 1


def test_a_connection_cut_in_the_middle_of_the_bundle_and_of_the_code(user: User) -> None:
    breaking.configure(user, boot_delay=breaking.HELD)
    user.workflows("workflows: {name: sum, commands: [sha256sum < big]}")
    (user.folder / "big").write_bytes(content := random.Random(1).randbytes(2_000_000))
    name = user.submit("sum")
    ref = breaking.held_machine(user, name)
    faults = Client(user.home)
    faults.inflict(name, "slow-network", 500e3)
    breaking.boot(ref)
    breaking.await_inside(ref, "[ -s /opt/dstack/runner.pyz.new ]")
    breaking.cut_connections(ref)
    user.wait(name, "downloading")
    breaking.await_inside(ref, f"[ $(du -sk {FOLDER} | cut -f 1) -gt 300 ]")
    breaking.cut_connections(ref)
    faults.inflict(name, "slow-network", 0)
    assert user.wait(name)["status"] == "done"
    assert hashlib.sha256(content).hexdigest() in user("logs", name).text
    assert len(engine.instances(user)) == 1


def test_a_server_that_is_killed_again_and_again(user: User) -> None:
    user.workflows(
        f"workflows: {{name: count, commands: [echo begun, '{COUNT}', mkdir out, echo 1 > out/x], artifacts: [out]}}"
    )
    moments = random.Random(3)
    names = [user.submit("count", "--backend", "sandbox") for _ in range(2)]
    for _ in range(8):
        time.sleep(moments.uniform(0.0, 3.0))
        user.kill_server()
        user.runs()
    for name in names:
        run = user.wait(name)
        assert run["status"] == "done", run["jobs"]
        assert user("logs", name).text.splitlines() == ["begun", *LINES]
        assert "out/x" in user("artifacts", name).text
    assert len(engine.instances(user)) == 2


def test_a_machine_that_dies_is_replaced_with_what_was_saved(user: User) -> None:
    """The first attempt is interrupted and saves; the second dies without a word; the third goes on from the first."""
    user.workflows("""
        workflows:
          - name: train
            commands:
              - trap 'exit 0' TERM; mkdir -p out; echo x >> out/epochs
              - echo epoch $(wc -l < out/epochs); sleep 4; echo steady; sleep 600 & wait
            artifacts: [out]
    """)
    name = user.submit("train", "--backend", "sandbox")
    faults = Client(user.home)
    for count, fault in enumerate(("interrupt", "kill"), 1):
        user.wait_for_log(name, "epoch 1\nsteady\n" + "epoch 2\nsteady\n" * (count - 1))
        faults.inflict(name, fault, 30)
    until(lambda: user("logs", name).text.count("epoch") == 3)
    # what the second said last may have died with it
    assert user("logs", name).text.replace("steady\n", "") == "epoch 1\nepoch 2\nepoch 2\n"
    endings = [each["ending"] for each in user.run(name)["jobs"][0]["instances"]]
    assert endings == ["interrupted", "lost", ""]


def slow_down(user: User, name: str, stage: str) -> None:
    """From before the boot, or from when the job runs, which then goes on."""
    ref = breaking.held_machine(user, name)
    if stage == "downloading":
        Client(user.home).inflict(name, "slow-network", 10e6)
    breaking.boot(ref)
    if stage == "uploading":
        user.wait_for_log(name, "ready")
        Client(user.home).inflict(name, "slow-network", 10e6)
        breaking.inside(ref, f"cd {FOLDER}/work && touch go")


@pytest.mark.parametrize("stage", ["downloading", "uploading"])
def test_stopped_and_aborted_while_much_goes_over_a_slow_network(user: User, stage: str) -> None:
    """A job that has ended by itself is saved: only an abort breaks that off."""
    user.workflows("""
        workflows:
          - name: heavy
            commands: [echo ready, 'until [ -e go ]; do sleep 0.05; done', mkdir out, cp big out/]
            artifacts: [out]
    """)
    (user.folder / "big").write_bytes(random.Random(1).randbytes(15_000_000))
    breaking.configure(user, boot_delay=breaking.HELD)
    stopped, aborted = user.submit("heavy"), user.submit("heavy")
    for name, args in ((stopped, ()), (aborted, ("--abort",))):
        slow_down(user, name, stage)
        user.wait(name, stage)
        user("stop", name, "-y", *args)
    assert user.wait(aborted)["status"] == "aborted"
    assert user.wait(stopped)["status"] == {"downloading": "stopped", "uploading": "done"}[stage]
    saved = ["out/big" in user("artifacts", name, code=None).text for name in (stopped, aborted)]
    assert saved == [stage == "uploading", False]


def test_machines_whose_clocks_are_wrong(user: User) -> None:
    """Ten minutes ahead, and ten behind: their Python's at least, for the kernel's is this computer's."""
    breaking.configure(user, boot_delay=breaking.HELD)
    user.workflows("workflows: {name: hi, commands: [echo hi, mkdir out, echo 1 > out/x], artifacts: [out]}")
    names = {user.submit("hi"): seconds for seconds in (600, -600)}
    for name, seconds in names.items():
        ref = breaking.held_machine(user, name)
        shift = f"import time; _true = time.time; time.time = lambda: _true() + {seconds}"
        breaking.inside(ref, f"echo '{shift}' >>$(python3 -c 'import runpy; print(runpy.__file__)')")
        breaking.boot(ref)
    for name in names:
        run = user.wait(name)
        [job] = run["jobs"]
        assert run["status"] == "done", job
        assert run["submitted_at"] <= job["started_at"] <= job["finished_at"] <= time.time()
        assert user("logs", name).text == "hi\n"
        assert "out/x" in user("artifacts", name).text

"""From create to nothing left: the runner over SSH, a job in Docker, and the end."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.client import DockerClient, as_json
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import machine_image, network
from dstack_cloud.domain.resources import Requirements
from tests.unit.sandbox import machines

pytestmark = pytest.mark.sandbox
END_SECONDS = 60
# what an engine reports when somebody reaches into a container past its network
INTRUSIONS = ("exec_", "archive-path", "extract-to-dir", "copy", "attach")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[machines.Machine]:
    made = machines.boot(tmp_path)
    yield made
    made.connection.close()
    made.backend.terminate([made.ref])
    made.backend.close()


def await_end(machine: machines.Machine) -> str:
    deadline = time.monotonic() + END_SECONDS
    while (seen := machine.backend.inspect([machine.ref])[machine.ref]).health is not Health.GONE:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen.detail


def holdings(installation: str) -> list[str]:
    """Names of what the engine has of an installation's."""
    client, query = DockerClient(), {"all": "1", "filters": json.dumps({"label": [f"dstack.owner={installation}"]})}
    containers = [entry["Id"] for entry in client.get("/containers/json", query)]
    volumes = [entry["Name"] for entry in client.get("/volumes", query)["Volumes"] or []]
    return containers + volumes + [entry["Name"] for entry in client.get("/networks", query)]


def events(ref: str, since: float) -> list[str]:
    query = {"since": f"{since:.3f}", "until": f"{time.time():.3f}", "filters": json.dumps({"container": [ref]})}
    lines = b"".join(DockerClient().stream("/events", query)).splitlines()
    return [str(json.loads(line)["Action"]) for line in lines]


def test_a_job_runs_and_the_machine_ends_itself(machine: machines.Machine) -> None:
    link = machine.install()
    log, code = machines.run_job(link, "a-1", "python3 -V", "echo done")
    assert log.startswith(b"Python 3.11")
    assert log.endswith(b"done\n")
    assert code == 0
    link.collected()
    assert await_end(machine) == "it powered itself off"


def test_nothing_reaches_in_but_ssh_and_nothing_is_left(machine: machines.Machine) -> None:
    assert len(holdings(machine.installation)) == 3
    machines.run_job(machine.install(), "a-1", "echo hi")
    machine.backend.inspect([machine.ref])
    seen = events(machine.ref, machine.created_at)
    assert not [action for action in seen[seen.index("start") :] if action.startswith(INTRUSIONS)]
    machine.backend.terminate([machine.ref])
    assert holdings(machine.installation) == []
    assert network.find(DockerClient(), machine.installation) is None


def test_installing_again_changes_only_the_deadline(machine: machines.Machine) -> None:
    first = machine.install(seconds=600)
    pid = machine.shell("systemctl show -P MainPID dstack-runner")
    second = machine.install(seconds=7200)
    assert machine.shell("systemctl show -P MainPID dstack-runner") == pid
    assert "OnActiveSec=7200s" in machine.shell("systemctl cat dstack-deadman.timer")
    assert second.state() == first.state()


def test_a_runner_that_is_killed_comes_back(machine: machines.Machine) -> None:
    link = machine.install()
    log, _ = machines.run_job(link, "a-1", "echo before")
    machine.shell("kill -9 $(systemctl show -P MainPID dstack-runner)")
    link.close()
    again = machine.install()
    assert b"".join(again.log(0)) == log == b"before\n"


def test_the_deadline_ends_the_machine(machine: machines.Machine) -> None:
    # long enough for the installation itself, which a machine that powers off would refuse
    machine.install(seconds=5)
    assert await_end(machine) == "it powered itself off"


def test_a_machine_that_was_made_for_a_network_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    installation = f"test-{uuid.uuid4().hex[:12]}"
    backend = SandboxBackend(SandboxConfig(), tmp_path, installation)
    launch = Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0])
    ref = f"dstack-{launch.key}"
    client = DockerClient()
    stale = {
        "Image": machine_image.ensure(client, SandboxConfig()),
        "Env": ["MACHINE_MIRROR=http://192.0.2.1:1"],
        "Labels": {"dstack.owner": installation, "dstack.key": launch.key},
    }
    client.call("POST", "/containers/create", {"name": ref}, as_json(stale))
    try:
        assert backend.create(launch) == ref
        environment = client.get(f"/containers/{ref}/json")["Config"]["Env"]
        assert not any("192.0.2.1" in entry for entry in environment)
    finally:
        backend.terminate([ref])
        backend.close()

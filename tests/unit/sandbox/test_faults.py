"""What is done to a machine on purpose, seen from outside and from inside."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Breakable, Fault, Health, Launch
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.domain.resources import Requirements, SpotPolicy
from dstack_cloud.errors import NoCapacity, NotFound, QuotaExceeded
from tests.unit.sandbox import machines

pytestmark = pytest.mark.sandbox
ASK = (
    "import json, sys, urllib.request as u\n"
    "base = 'http://169.254.169.254/latest/'\n"
    "put = u.Request(base + 'api/token', method='PUT', headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'})\n"
    "token = u.urlopen(put, timeout=20).read().decode()\n"
    "get = u.Request(base + sys.argv[1], headers={'X-aws-ec2-metadata-token': token})\n"
    "try: print(u.urlopen(get, timeout=20).read().decode())\n"
    "except u.HTTPError as error: print(error.code)\n"
)
ACTION = "meta-data/spot/instance-action"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[machines.Machine]:
    made = machines.boot(tmp_path)
    made.connection.run("cat > /tmp/ask.py", ASK.encode())
    yield made
    made.connection.close()
    made.backend.terminate([made.ref])
    made.backend.close()


def ask(machine: machines.Machine, path: str, prefix: str = "") -> str:
    done = machine.connection.run(f"sudo -n {prefix}python3 /tmp/ask.py {path}")
    assert done.code == 0, done
    return done.out.decode().strip()


def await_gone(machine: machines.Machine) -> str:
    deadline = time.monotonic() + 60
    while (seen := machine.backend.inspect([machine.ref])[machine.ref]).health is not Health.GONE:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen.detail


def answers(machine: machines.Machine, seconds: float = 2.0) -> bool:
    """Whether its sshd greets a new connection."""
    try:
        with socket.create_connection((machine.endpoint.host, machine.endpoint.port), seconds) as connection:
            connection.settimeout(seconds)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def test_an_interruption_from_the_notice_to_the_end(machine: machines.Machine) -> None:
    assert isinstance(machine.backend, Breakable)
    container = "docker run --rm -v /tmp/ask.py:/tmp/ask.py dstack-cloud/job:py3.11 "
    assert ask(machine, "meta-data/instance-id") == machine.ref
    assert ask(machine, "meta-data/instance-id", container) == machine.ref
    assert ask(machine, ACTION) == "404"
    machine.backend.inflict(machine.ref, Fault.INTERRUPT, 6)
    assert json.loads(ask(machine, ACTION))["action"] == "terminate"
    assert json.loads(ask(machine, ACTION, container))["action"] == "terminate"
    assert await_gone(machine) == "it was taken back, as it had been announced"
    assert not answers(machine)
    with pytest.raises(NotFound):
        machine.backend.inflict(machine.ref, Fault.INTERRUPT)


def test_an_announced_end_comes_although_the_server_ends(machine: machines.Machine) -> None:
    machine.backend.inflict(machine.ref, Fault.INTERRUPT, 2)
    machine.backend.close()
    machine.backend = SandboxBackend(SandboxConfig(), machine.backend.home, machine.installation)
    assert await_gone(machine) == "it was taken back, as it had been announced"


def test_death_without_notice(machine: machines.Machine) -> None:
    machine.backend.inflict(machine.ref, Fault.KILL)
    assert await_gone(machine) == "it was killed"
    assert not answers(machine)


def test_a_network_that_is_cut_and_mended(machine: machines.Machine) -> None:
    inflict = machine.backend.inflict
    inflict(machine.ref, Fault.CUT_NETWORK)
    inflict(machine.ref, Fault.CUT_NETWORK)
    assert not answers(machine)
    assert machine.backend.inspect([machine.ref])[machine.ref].health is Health.RUNNING
    inflict(machine.ref, Fault.RESTORE_NETWORK)
    inflict(machine.ref, Fault.RESTORE_NETWORK)
    # the connection from before goes on
    assert machine.shell("echo here") == "here\n"


def test_a_machine_that_stands_still(machine: machines.Machine) -> None:
    inflict = machine.backend.inflict
    inflict(machine.ref, Fault.PAUSE)
    inflict(machine.ref, Fault.PAUSE)
    assert not answers(machine)
    assert machine.backend.inspect([machine.ref])[machine.ref].health is Health.RUNNING
    inflict(machine.ref, Fault.RESUME)
    assert machine.shell("echo here") == "here\n"
    inflict(machine.ref, Fault.PAUSE)
    inflict(machine.ref, Fault.KILL)
    await_gone(machine)


def test_a_slow_network(machine: machines.Machine) -> None:
    def passes() -> None:
        assert len(machine.connection.run("head -c 500000 /dev/zero").out) == 500_000
        assert machine.connection.run("wc -c", bytes(500_000)).out == b"500000\n"

    machine.backend.inflict(machine.ref, Fault.SLOW_NETWORK, 4e6)
    assert "tbf" in machine.shell("tc qdisc show dev eth0")
    assert "rate 4Mbit" in machine.shell("tc qdisc show dev eth0")
    passes()
    machine.backend.inflict(machine.ref, Fault.SLOW_NETWORK)
    assert "tbf" not in machine.shell("tc qdisc show dev eth0")
    passes()


def test_a_spot_machine_is_interrupted_by_configuration(tmp_path: Path) -> None:
    config = SandboxConfig(interrupt_after=0.5, notice=0.5)
    backend = SandboxBackend(config, tmp_path, f"test-{uuid.uuid4().hex[:12]}")
    offers = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))
    spot, kept = (backend.create(Launch(key=uuid.uuid4().hex, offer=offer)) for offer in offers)
    deadline = time.monotonic() + 60
    while backend.inspect([spot])[spot].detail != "it was taken back, as it had been announced":
        assert time.monotonic() < deadline
    assert backend.inspect([kept])[kept].health is Health.RUNNING
    backend.terminate([spot, kept])
    assert list((tmp_path / "sandbox" / "notices").iterdir()) == []
    backend.close()


def test_a_machine_that_tells_of_gpus(tmp_path: Path) -> None:
    gpus = {"name": "T4", "count": 2, "memory": "16GiB"}
    config = SandboxConfig.model_validate({"types": [{"name": "gpu", "gpus": gpus}], "boot_delay": 0.5})
    machine = machines.boot(tmp_path, config)
    try:
        asked = machine.shell("nvidia-smi --query-gpu=index,name,memory.total --format=csv,noheader,nounits")
        assert asked.splitlines() == ["0, T4, 16384", "1, T4, 16384"]
        run = "docker run --rm --gpus 2 dstack-cloud/job:py3.11 true && echo yes"
        assert machine.shell(run) == "yes\n"
    finally:
        machine.connection.close()
        machine.backend.terminate([machine.ref])
        machine.backend.close()


def test_refusals_by_configuration(tmp_path: Path) -> None:
    config = SandboxConfig(zones=("here-a", "here-b"), no_capacity=("spot/here-a",), quota=0)
    backend = SandboxBackend(config, tmp_path, f"test-{uuid.uuid4().hex[:12]}")
    first, second = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[:3:2]
    with pytest.raises(NoCapacity, match="here-a"):
        backend.create(Launch(key="a", offer=first))
    with pytest.raises(QuotaExceeded):
        backend.create(Launch(key="b", offer=second))
    assert backend.list_owned() == []
    backend.close()

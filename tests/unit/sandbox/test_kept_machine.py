"""A machine that stays: several runners on it, with and without root, and nothing of them afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap import install
from dstack_cloud.runner_bootstrap.link import RunnerLink
from dstack_cloud.runner_bootstrap.placement import Placement, lease
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint
from tests.unit.sandbox import machines

pytestmark = pytest.mark.sandbox
GUEST = """
useradd -m -s /bin/bash -G docker guest
install -d -m 700 -o guest /home/guest/.ssh
install -m 600 -o guest /home/dstack/.ssh/authorized_keys /home/guest/.ssh/
until docker info >/dev/null 2>&1; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machines.Machine]:
    made = machines.boot(tmp_path_factory.mktemp("home"))
    made.shell(GUEST)
    yield made
    made.connection.close()
    made.backend.terminate([made.ref])
    made.backend.close()


@pytest.fixture
def guest(machine: machines.Machine) -> Iterator[Connection]:
    """A user who may use Docker, and may not become root."""
    connection = machines.connect(Endpoint("guest", machine.endpoint.host, machine.endpoint.port), machine.trust)
    yield connection
    connection.close()


def put(connection: Connection, place: Placement) -> RunnerLink:
    step = install.install(seconds=60, user=connection.endpoint.user, place=place)
    done = connection.run(step.command, step.stdin)
    assert done.code == 0, done.err.decode()
    return RunnerLink(lambda: connection.dial(install.connect_command(place)))


def end(connection: Connection, place: Placement) -> None:
    script = shlex.quote(f"{place.base}/end && rm -rf {place.base}")
    done = connection.run(f"sudo -n sh -c {script} 2>/dev/null || sh -c {script}")
    assert done.code == 0, done.err.decode()


def test_two_runners_side_by_side_as_root(machine: machines.Machine) -> None:
    places = [lease("/var/lib/leases/k-1"), lease("/var/lib/leases/k-2")]
    links = [put(machine.connection, place) for place in places]
    for link, place in zip(links, places, strict=True):
        assert machines.run_job(link, place.suffix, "echo hi") == (b"hi\n", 0)
    links[0].collected()
    assert links[1].state().phase == "uploading"
    for link, place in zip(links, places, strict=True):
        link.close()
        end(machine.connection, place)
    assert machine.shell("systemctl list-units --all --plain --no-legend dstack-runner*") == ""
    assert machine.shell("ls /var/lib/leases /etc/systemd/system | grep -c k-[12] || true").strip() == "0"


def test_a_user_who_is_not_root(machine: machines.Machine, guest: Connection) -> None:
    place = lease("/home/guest/leases/k-3")
    link = put(guest, place)
    assert machines.run_job(link, "a-3", "echo hi") == (b"hi\n", 0)
    link.close()
    put(guest, place).close()
    end(guest, place)
    assert machine.shell("pgrep -u guest -f runner.pyz || true") == ""


def test_its_end_kills_a_job_that_runs(machine: machines.Machine, guest: Connection) -> None:
    place = lease("/home/guest/leases/k-4")
    link = put(guest, place)
    link.submit({**machines.JOB, "attempt": "a-4", "commands": ["echo up", "sleep 600"]})
    assert next(iter(link.log(0, follow=True))) == b"up\n"
    link.close()
    end(guest, place)
    assert machine.shell("docker ps -q --filter label=dstack.attempt=a-4") == ""


def test_a_user_who_may_not_use_docker_is_told(machine: machines.Machine) -> None:
    machine.shell("gpasswd -d guest docker")
    connection = machines.connect(Endpoint("guest", machine.endpoint.host, machine.endpoint.port), machine.trust)
    step = install.install(seconds=60, user="guest", place=lease("/home/guest/leases/k-5"))
    done = connection.run(step.command, step.stdin)
    connection.close()
    machine.shell("gpasswd -a guest docker")
    assert done.code == install.FINAL
    assert b"add guest to the group docker" in done.err


def test_a_bundle_that_came_in_part_leaves_nothing(machine: machines.Machine) -> None:
    place = lease("/var/lib/leases/k-6")
    step = install.install(seconds=60, place=place)
    done = machine.connection.run(step.command, step.stdin[:-1000])
    assert done.code == 1
    assert b"came in part" in done.err
    assert machine.shell(f"ls {place.base}").split() == ["runner.pyz.new"]

"""One machine, and what must be true of it before any job is there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import building
from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from tests.unit.sandbox import machines

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machines.Machine]:
    made = machines.boot(tmp_path_factory.mktemp("home"))
    yield made
    made.connection.close()
    made.backend.terminate([made.ref])
    made.backend.close()


def test_a_wrong_pin_is_refused(machine: machines.Machine) -> None:
    with pytest.raises(HostKeyMismatch):
        Connection(machine.endpoint, Trust(machine.trust.client_key, (keys.generate().public,)))


def test_nobody_else_gets_in(machine: machines.Machine) -> None:
    with pytest.raises(SshError, match="refuses our key"):
        Connection(machine.endpoint, Trust(keys.generate().private, machine.trust.host_keys))
    root = Endpoint("root", machine.endpoint.host, machine.endpoint.port)
    with pytest.raises(SshError, match="refuses our key"):
        Connection(root, machine.trust)


def test_the_dead_man_is_armed_and_comes_back_at_every_boot(machine: machines.Machine) -> None:
    assert machine.shell(
        "systemctl is-active dstack-deadman.timer; systemctl is-enabled dstack-deadman.timer"
    ).split() == [
        "active",
        "enabled",
    ]


def test_the_clouds_metadata_of_this_computer_is_out_of_reach(machine: machines.Machine) -> None:
    """Its own service is at the well-known address and port; nothing else of that address answers."""
    ask = 'import urllib.request as u; u.urlopen("http://169.254.169.254{}/", timeout=5)'
    for prefix in ("", "docker run --rm dstack-cloud/job:py3.11 "):
        own = machine.connection.run(f"sudo -n {prefix}python3 -c '{ask.format('')}'")
        assert b"HTTP Error 401" in own.err
        other = machine.connection.run(f"sudo -n {prefix}python3 -c '{ask.format(':8080')}'")
        assert b"URLError" in other.err or b"TimeoutError" in other.err


def test_it_finds_what_was_published_for_it(machine: machines.Machine) -> None:
    machine.backend.residents.publish(machine.ref, "/computeMetadata/v1/instance/attributes/word", b"hello")
    url = "http://169.254.169.254/computeMetadata/v1/instance/attributes/word"
    ask = f'import urllib.request as u; print(u.urlopen(u.Request("{url}", headers={{"Metadata-Flavor": "Google"}})).read())'
    assert machine.connection.run(f"python3 -c '{ask}'").out == b"b'hello'\n"


def test_nothing_failed_at_the_boot(machine: machines.Machine) -> None:
    assert machine.shell("systemctl list-units --failed --plain --no-legend") == ""


def test_its_engine_has_the_job_image_and_an_identity_of_its_own(machine: machines.Machine) -> None:
    assert (
        machine.shell("docker image inspect -f {{.RepoTags}} dstack-cloud/job:py3.11").strip()
        == "[dstack-cloud/job:py3.11]"
    )
    assert machine.shell("docker info -f {{.ID}}").strip() != DockerClient().get("/info")["ID"]


def test_an_image_of_this_computer_can_be_pulled_there_also_after_a_restart(machine: machines.Machine) -> None:
    client, image = DockerClient(), f"dstack-test-{uuid.uuid4().hex[:8]}:1"
    text = "FROM dstack-cloud/job:py3.11\nRUN echo one >/one && echo two >/two\nRUN rm /one\n"
    building.build(client, image, building.dockerfile(text))
    machine.backend.close()
    machine.backend = SandboxBackend(SandboxConfig(), machine.backend.home, machine.installation)
    try:
        show = machine.shell(
            f"until docker pull -q {image} >/dev/null; do sleep 0.2; done; docker run --rm {image} ls /"
        )
    finally:
        client.call("DELETE", f"/images/{image}", {"force": "1"})
    assert "two" in show.split()
    assert "one" not in show.split()


def test_an_image_that_nobody_has_is_an_error_there(machine: machines.Machine) -> None:
    done = machine.connection.run("sudo -n docker pull dstack-test/there-is-none:1")
    assert done.code != 0

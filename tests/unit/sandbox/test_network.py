from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient, as_json
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import network

pytestmark = pytest.mark.docker
CONFIG = SandboxConfig()


@pytest.fixture
def installation() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    network.remove(DockerClient(), name)


def test_threads_make_one(installation: str) -> None:
    client = DockerClient()
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: network.ensure(client, CONFIG, installation), range(4)))
    assert len(made) == 1
    assert [net["Name"] for net in client.get("/networks")].count(network.name(installation)) == 1


def test_removed_twice_it_is_gone(installation: str) -> None:
    client = DockerClient()
    network.ensure(client, CONFIG, installation)
    assert network.remove(client, installation)
    assert network.remove(client, installation)
    assert network.find(client, installation) is None


def test_one_that_somebody_else_made_stays(installation: str) -> None:
    client = DockerClient()
    client.call("POST", "/networks/create", body=as_json({"Name": network.name(installation), "CheckDuplicate": True}))
    assert not network.remove(client, installation)
    assert network.find(client, installation) is not None
    client.call("DELETE", f"/networks/{network.name(installation)}")


def test_the_subnet_that_was_set(installation: str) -> None:
    made = network.ensure(DockerClient(), SandboxConfig(subnet="10.213.77.0/24"), installation)
    assert (made.subnet, made.gateway) == ("10.213.77.0/24", "10.213.77.1")

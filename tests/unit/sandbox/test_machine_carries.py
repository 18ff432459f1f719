"""A machine that reaches the store carries by itself: the server may be gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Health
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Trust, parse_endpoint
from dstack_cloud.storage import artifacts, layout
from tests.fakes.forwarder import Forwarder
from tests.fakes.seaweed import Seaweed
from tests.unit.sandbox.carried import ATTEMPT, Carried, saved, until

pytestmark = [pytest.mark.sandbox, pytest.mark.seaweed]
JOB = layout.JobPlace("shady-1", "train")


@pytest.fixture(scope="module")
def weed() -> Iterator[Seaweed]:
    with Seaweed() as server:
        yield server


@pytest.fixture
def carried(weed: Seaweed, tmp_path: Path) -> Iterator[Carried]:
    made = Carried(tmp_path, weed, weed.make_bucket(f"b{tmp_path.name.replace('_', '-')[-20:].lower()}"))
    try:
        made.boot()
        with Forwarder(weed.url, made.gateway()) as forwarder:
            made.lender.options = {**made.lender.options, "endpoint": forwarder.url}
            yield made
    finally:
        made.close()


def test_with_the_server_gone_all_is_saved_and_the_machine_ends(carried: Carried) -> None:
    job = carried.hand_over("echo one", "mkdir out", "sleep 5", "echo two > out/a", artifacts=saved("out"))
    courier = carried.send_courier(job)
    until(lambda: carried.links.carrier_of(carried.instance) == "machine", "the courier on the machine")
    courier.stop()
    carried.links.forget(carried.instance, keys=False)
    ref = carried.instance.ref
    until(lambda: carried.backend.inspect([ref])[ref].health is Health.GONE, "the machine's own end")
    assert carried.backend.inspect([ref])[ref].detail == "it powered itself off"
    status = carried.status()
    assert (status["attempt"], status["phase"], status["exit_code"]) == (ATTEMPT, "finished", 0)
    manifest = artifacts.load_manifest(carried.store, JOB)
    assert manifest is not None
    assert [entry.path for entry in manifest.entries] == ["out", "out/a"]
    assert carried.log() == b"one\n"


def test_the_key_of_the_user_data_is_not_shown_any_more(carried: Carried) -> None:
    keys = carried.links._keys.load(ATTEMPT)
    carried.hand_over("true")
    endpoint = parse_endpoint(carried.instance.endpoint)
    with pytest.raises(Exception, match="another host key"):
        Connection(endpoint, Trust(keys.client.private, (keys.host.public,)))
    assert carried.links.trust(carried.instance).host_keys == (keys.next_host.public,)
    Connection(endpoint, carried.links.trust(carried.instance)).close()


def test_a_machine_that_cannot_use_the_store_leaves_it_to_the_server(carried: Carried) -> None:
    carried.lender.lent = {**(carried.lender.lent or {}), "secret_access_key": "wrong"}
    courier = carried.send_courier(carried.hand_over("echo one"))
    courier.join(120)
    assert carried.links.carrier_of(carried.instance) == "server"
    assert (carried.status()["phase"], carried.log()) == ("finished", b"one\n")

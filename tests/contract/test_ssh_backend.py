"""Machines of one's own under the suite of all backends, and what is their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Backend, Health, KeptMachines, Launch, Pool
from dstack_cloud.backends.ssh.backend import SshBackend
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, NoCapacity, Unavailable
from tests.contract.test_backend import BackendContract
from tests.fakes import own_machine
from tests.unit.ssh import sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.Sshd]:
    if sshd.PROGRAM is None:
        pytest.skip("no sshd here: install openssh-server")
    made = sshd.make(tmp_path)
    made.start()
    yield made
    made.kill()


class TestSsh(BackendContract):
    @pytest.fixture
    def backend(self, server: sshd.Sshd) -> Iterator[SshBackend]:
        made = own_machine.backend(server, jobs=2)
        yield made
        made.terminate([owned.ref for owned in made.list_owned()])
        made.close()
        assert own_machine.leases(server) == []

    def test_it_says_which_keys_to_trust(self, backend: Backend, launch: Launch, server: sshd.Sshd) -> None:
        assert isinstance(backend, KeptMachines)
        assert backend.trust(backend.create(launch)) == server.trust

    def test_no_more_jobs_than_it_may_take(self, backend: Backend, launch: Launch) -> None:
        for key in ("a", "b"):
            backend.create(replace(launch, key=key))
        with pytest.raises(NoCapacity, match="big is busy: it runs a b"):
            backend.create(replace(launch, key="c"))
        assert backend.create(replace(launch, key="a"))

    def test_two_installations_share_it(self, backend: Backend, launch: Launch, server: sshd.Sshd) -> None:
        other = own_machine.backend(server, jobs=2)
        ref = other.create(replace(launch, key="theirs"))
        backend.create(launch)
        assert [owned.ref for owned in other.list_owned()] == [ref]
        with pytest.raises(NoCapacity):
            other.create(replace(launch, key="third"))
        other.terminate([ref])
        assert other.list_owned() == []
        other.close()

    def test_each_job_gets_gpus_of_its_own(self, server: sshd.Sshd, launch: Launch, backend: SshBackend) -> None:
        assert isinstance(backend, Pool)
        [machine] = backend.pool()
        assert (machine.name, machine.slots, machine.problem) == ("big", 2, "")
        asked = replace(launch, gpus=99)
        with pytest.raises(NoCapacity, match="not enough free GPUs"):
            backend.create(asked)


def test_another_host_key_is_refused(server: sshd.Sshd) -> None:
    made = own_machine.backend(server, host_key=sshd.keys.generate().public)
    with pytest.raises(InvalidConfiguration, match="another host key"):
        made.offers(Requirements())
    [finding] = made.validate()
    assert not finding.ok
    assert "host_key" in finding.fix


def test_a_machine_that_is_off(server: sshd.Sshd) -> None:
    made = own_machine.backend(server)
    ref = made.create(Launch(key="a", offer=made.offers(Requirements())[0]))
    server.kill()
    with pytest.raises(Unavailable, match="can't be reached"):
        made.inspect([ref])
    assert made.list_owned() == []
    assert made.pool()[0].problem == "" or "reached" in made.machines()[0].problem
    server.start()
    assert made.inspect([ref])[ref].health is Health.RUNNING
    made.terminate([ref])


def test_a_machine_that_was_taken_out_of_the_configuration_is_not_taken_for_its_end(server: sshd.Sshd) -> None:
    made = own_machine.backend(server)
    ref = made.create(Launch(key="a", offer=made.offers(Requirements())[0]))
    other = own_machine.backend(server, name="another")
    for call in (other.inspect, other.terminate):
        with pytest.raises(InvalidConfiguration, match="isn't in the configuration"):
            call([ref])
    made.terminate([ref])


def test_no_host_key_is_no_trust(server: sshd.Sshd, tmp_path: Path) -> None:
    made = own_machine.backend(server, host_key=[])
    [finding] = made.validate()
    assert not finding.ok
    assert "SHA256" in finding.fix

"""How an attached user reaches a job."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from dstack_cloud.domain.runs import Instance
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.orchestrator.world import Links
from dstack_cloud.services.access import job_access
from dstack_cloud.services.context import Context
from dstack_cloud.ssh.endpoint import Jump, Trust
from tests.unit.services.office import Office

GATE = Trust("", ("SHA256:gate",))
TRUST = Trust("a key", ("ssh-ed25519 AAAA",), (Jump("ssh:me@gate:22", GATE),))


class Trusting:
    """The links of a machine behind another one."""

    def trust(self, instance: Instance) -> Trust:
        return TRUST


def context(office: Office) -> Context:
    world = replace(office.world, links=cast(Links, Trusting()))
    return replace(office.context, world=world)


def test_a_machine_behind_another(office: Office) -> None:
    name = office.submit()["name"]
    office.add_machine(name, InstanceStatus.BUSY, endpoint="ssh:dstack@10.0.0.2:22")
    office.set_job(name, instance_id=f"{name}-x")
    [view] = job_access(context(office), "main", name)
    assert (view["endpoint"], view["client_key"]) == ("ssh:dstack@10.0.0.2:22", "a key")
    assert view["jumps"] == [{"endpoint": "ssh:me@gate:22", "client_key": "", "host_keys": ["SHA256:gate"]}]
    assert view["attempt"] == f"{name}-x"


def test_nothing_secret_of_a_job_on_this_computer(office: Office) -> None:
    name = office.submit()["name"]
    office.add_machine(name, InstanceStatus.BUSY, endpoint="unix:/run/r.sock")
    office.set_job(name, instance_id=f"{name}-x")
    [view] = job_access(context(office), "main", name)
    assert (view["endpoint"], view["client_key"], view["host_keys"], view["jumps"]) == ("", "", [], [])


@pytest.mark.parametrize("status", [InstanceStatus.STARTING, InstanceStatus.TERMINATING])
def test_a_machine_without_a_running_job_is_none(office: Office, status: InstanceStatus) -> None:
    name = office.submit()["name"]
    office.add_machine(name, status, endpoint="ssh:dstack@10.0.0.2:22")
    office.set_job(name, instance_id=f"{name}-x")
    assert job_access(context(office), "main", name) == []

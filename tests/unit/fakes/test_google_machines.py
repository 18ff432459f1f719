"""Instances of the emulated Google Cloud with machines behind them, as whoever launched them sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dstack_cloud.errors import SshError
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from tests import leftovers
from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud
from tests.unit.fakes.google_requests import INSTANCES, SPOT, ask, delete, instance, launch, state, until
from tests.unit.sandbox import machines

pytestmark = [pytest.mark.google, pytest.mark.sandbox, pytest.mark.seaweed]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ASK = """
import sys, urllib.request as u
headers = dict(each.split("=", 1) for each in sys.argv[3:])
print(u.urlopen(u.Request(sys.argv[2], headers=headers, method=sys.argv[1]), timeout=20).read().decode())
""".replace("'", '"')


@dataclass
class Body:
    """An instance with a machine behind it, and a way in."""

    connection: Connection

    def http(self, verb: str, url: str, **headers: str) -> str:
        more = " ".join(f"'{name}={value}'" for name, value in headers.items())
        done = self.connection.run(f"python3 -c '{ASK}' {verb} '{url}' {more}")
        assert done.code == 0, done
        return done.out.decode().strip()

    def metadata(self, path: str) -> str:
        return self.http("GET", f"http://169.254.169.254/computeMetadata/v1/{path}", **{"Metadata-Flavor": "Google"})


def boot(cloud: GoogleCloud, **more: Any) -> Body:
    host, login = keys.generate(), keys.generate()
    known = {"host_private": host.private, "host_public": host.public, "client_public": login.public}
    document = user_data(**known, user=LOGIN_USER, dead_man_seconds=900)
    operation = launch(cloud, metadata={"items": [{"key": "user-data", "value": document}]}, **more)
    assert "error" not in operation
    [found] = cloud.instances("RUNNING")
    return Body(machines.connect(Endpoint(LOGIN_USER, found["address"], 22), Trust(login.private, (host.public,))))


def bodies(cloud: GoogleCloud) -> list[str]:
    return [text for text in leftovers.in_docker() if cloud.label in text and text.startswith("container")]


def test_a_machine_knows_who_it_is_and_that_it_is_taken_back(google_cloud: GoogleCloud) -> None:
    google_cloud.set(soft_off=False)
    body = boot(google_cloud, scheduling=SPOT)
    assert [body.metadata(path) for path in ("instance/name", "project/project-id")] == ["vm-1", PROJECT]
    assert body.metadata("instance/zone").endswith(f"/zones/{ZONE}")
    assert "cloud-config" in body.metadata("instance/attributes/user-data")
    assert body.metadata("instance/preempted") == "FALSE"
    google_cloud.interrupt("vm-1", 3)
    assert body.metadata("instance/preempted") == "TRUE"
    until(lambda: state(google_cloud) == "gone")
    assert (google_cloud.held(), bodies(google_cloud)) == ([], [])


def test_an_interruption_shuts_the_guest_down(google_cloud: GoogleCloud) -> None:
    body = boot(google_cloud, scheduling=SPOT)
    google_cloud.interrupt("vm-1", 600)
    assert state(google_cloud) == "STOPPING"
    with pytest.raises(SshError):
        body.connection.run("sleep 60")
    delete(google_cloud)
    until(lambda: state(google_cloud) == "gone")


def test_a_machine_that_powers_itself_off_is_only_stopped(google_cloud: GoogleCloud) -> None:
    body = boot(google_cloud)
    body.connection.run("sudo systemctl poweroff")
    until(lambda: state(google_cloud) == "TERMINATED")
    assert google_cloud.held() == ["instance vm-1 (TERMINATED)", f"disk zones/{ZONE}/disks/vm-1"]
    assert delete(google_cloud)["status"] == "DONE"
    assert (google_cloud.held(), bodies(google_cloud)) == ([], [])


def test_a_machine_deletes_itself_with_its_own_identity(google_cloud: GoogleCloud, google_bucket: str) -> None:
    condition = 'resource.name.extract("/instances/{name}").startsWith("vm-")'
    account = google_cloud.restricted("machine", ["compute.instances.delete"], condition)["client_email"]
    body = boot(google_cloud, serviceAccounts=[{"email": account, "scopes": [SCOPE]}])
    assert body.metadata("instance/service-accounts/default/email") == account
    token = body.metadata("instance/service-accounts/default/token").split('"')[3]
    asked = {"Authorization": f"Bearer {token}"}
    refused = body.connection.run(
        f"python3 -c '{ASK}' GET '{google_cloud.store}/{google_bucket}' 'Authorization=Bearer {token}'"
    )
    assert "403" in refused.err.decode()
    body.http("DELETE", f"{google_cloud.endpoint}{INSTANCES}/vm-1", **asked)
    until(lambda: (google_cloud.held(), bodies(google_cloud)) == ([], []))


def test_one_that_is_deleted_while_it_boots_leaves_nothing(google_cloud: GoogleCloud) -> None:
    google_cloud.fail("instances.insert", never=True, after=True)
    ask(google_cloud, "POST", INSTANCES, instance())
    until(lambda: google_cloud.instances("STAGING"))
    delete(google_cloud)
    until(lambda: (google_cloud.held(), bodies(google_cloud)) == ([], []))

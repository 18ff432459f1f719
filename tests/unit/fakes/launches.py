"""Instances of the emulated cloud, launched as boto3 does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, user_data
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from tests.fakes.aws import REGION, MotoCloud
from tests.unit.sandbox import machines

PATIENCE_SECONDS = 120
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
SPOT = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}


def until(condition: Callable[[], Any]) -> Any:
    """What it gives as soon as that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def image(cloud: MotoCloud, region: str = REGION) -> str:
    return str(cloud.client("ssm", region).get_parameter(Name=UBUNTU)["Parameter"]["Value"])


def launch(cloud: MotoCloud, region: str = REGION, **more: Any) -> str:
    """Its id."""
    asked = {"ImageId": image(cloud, region), "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large", **more}
    return str(cloud.ec2(region).run_instances(**asked)["Instances"][0]["InstanceId"])


def refused(cloud: MotoCloud, region: str = REGION, **more: Any) -> str:
    """The code of the refusal, or the kind of a failure without one."""
    try:
        return launch(cloud, region, **more)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__


def state(cloud: MotoCloud, id: str, region: str = REGION) -> str:
    found = cloud.ec2(region).describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    return str(found["State"]["Name"])


@dataclass
class Body:
    """An instance with a machine behind it, and a way in."""

    id: str
    connection: Connection

    def shell(self, command: str) -> str:
        done = self.connection.run(command)
        assert done.code == 0, done
        return done.out.decode()

    def metadata(self, path: str) -> str:
        """A document, asked for as IMDSv2 wants it; "404" where there is none."""
        return self.shell(f"python3 -c '{ASK}' {path}").strip()


ASK = """
import sys, urllib.error, urllib.request as u
base = "http://169.254.169.254/latest/"
ask = u.Request(base + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
token = u.urlopen(ask, timeout=20).read().decode()
try:
    ask = u.Request(base + sys.argv[1], headers={"X-aws-ec2-metadata-token": token})
    print(u.urlopen(ask, timeout=20).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
""".replace("'", '"')


def boot(cloud: MotoCloud, **more: Any) -> Body:
    host, client = keys.generate(), keys.generate()
    document = user_data(
        host_private=host.private,
        host_public=host.public,
        client_public=client.public,
        user=LOGIN_USER,
        dead_man_seconds=900,
    )
    id = launch(cloud, UserData=document, **more)
    until(lambda: state(cloud, id) == "running")
    [found] = [each for each in cloud.instances() if each["id"] == id]
    endpoint = Endpoint(LOGIN_USER, found["address"], 22)
    return Body(id, machines.connect(endpoint, Trust(client.private, (host.public,))))

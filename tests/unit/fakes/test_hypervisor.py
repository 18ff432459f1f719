"""Instances with machines behind them, as whoever launched them sees them."""

from __future__ import annotations

import json

import pytest

from tests import leftovers
from tests.fakes.aws import ACCESS_KEY, MotoCloud
from tests.unit.fakes.launches import SPOT, Body, boot, launch, state, until

pytestmark = [pytest.mark.moto, pytest.mark.sandbox, pytest.mark.seaweed]


def bodies(cloud: MotoCloud) -> list[str]:
    return [text for text in leftovers.in_docker() if cloud.label in text and text.startswith("container")]


def with_profile(cloud: MotoCloud) -> Body:
    iam = cloud.client("iam")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="machines")
    iam.add_role_to_instance_profile(InstanceProfileName="machines", RoleName="reader")
    return boot(cloud, IamInstanceProfile={"Name": "machines"}, InstanceMarketOptions=SPOT)


def test_a_launch_boots_a_machine_with_its_user_data_and_identity(cloud: MotoCloud, bucket: str) -> None:
    body = with_profile(cloud)
    assert body.metadata("meta-data/instance-id") == body.id
    assert body.metadata("meta-data/placement/availability-zone").startswith("us-east-1")
    assert body.metadata("meta-data/iam/security-credentials/") == "reader"
    assert json.loads(body.metadata("meta-data/iam/security-credentials/reader"))["AccessKeyId"] == ACCESS_KEY
    assert body.metadata("meta-data/spot/instance-action") == "404"
    reached = f'import urllib.request as u; u.urlopen("{cloud.store}/status", timeout=20)'
    assert body.shell(f"python3 -c '{reached}'") == ""
    cloud.interrupt(body.id, 3)
    assert json.loads(body.metadata("meta-data/spot/instance-action"))["action"] == "terminate"
    until(lambda: state(cloud, body.id) == "terminated")
    assert cloud.instances()[0]["reason"] == "Server.SpotInstanceTermination"
    assert (cloud.held(), bodies(cloud)) == ([], [])


def test_a_machine_that_powers_itself_off_is_terminated(cloud: MotoCloud) -> None:
    body = boot(cloud, InstanceInitiatedShutdownBehavior="terminate")
    body.connection.run("sudo systemctl poweroff")
    until(lambda: state(cloud, body.id) == "terminated")
    assert cloud.instances()[0]["reason"] == "Client.InstanceInitiatedShutdown"
    assert (cloud.held(), bodies(cloud)) == ([], [])


def test_without_the_wish_to_terminate_a_poweroff_only_stops(cloud: MotoCloud) -> None:
    body = boot(cloud)
    body.connection.run("sudo systemctl poweroff")
    until(lambda: state(cloud, body.id) == "stopped")
    assert len(cloud.held()) == 3
    cloud.ec2().terminate_instances(InstanceIds=[body.id])
    until(lambda: (cloud.held(), bodies(cloud)) == ([], []))


def test_one_that_is_terminated_while_it_boots_leaves_nothing(cloud: MotoCloud) -> None:
    id = launch(cloud)
    cloud.ec2().terminate_instances(InstanceIds=[id])
    until(lambda: (cloud.held(), bodies(cloud)) == ([], []))


def test_nothing_is_left_of_a_cloud_that_is_closed(cloud: MotoCloud) -> None:
    with MotoCloud(machines=True) as other:
        launch(other)
        until(lambda: other.instances("running"))
        assert len(bodies(other)) == 1
    assert [text for text in leftovers.in_docker() if other.label in text] == []

"""The network that machines are put in, and who may come in: found or made, once."""

from __future__ import annotations

import time

import pytest

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.network import Network
from dstack_cloud.backends.base.own_address import address_towards
from dstack_cloud.errors import InvalidConfiguration
from tests.fakes.aws import REGION, MotoCloud

TAGS = [{"Key": "dstack-owner", "Value": "me"}]


def network(config: AwsConfig, **settings: object) -> Network:
    return Network(AwsClient(config.model_copy(update=settings)), "dstack-me", list(TAGS))  # type: ignore[arg-type]


def own_vpc(cloud: MotoCloud) -> tuple[str, str]:
    vpc = cloud.ec2().create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = cloud.ec2().create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=f"{REGION}b")
    return vpc, made["Subnet"]["SubnetId"]


def test_one_subnet_a_zone_of_the_default_vpc(config: AwsConfig, cloud: MotoCloud) -> None:
    own_vpc(cloud)
    found = network(config).subnets(REGION)
    assert len(found) == 6 and len({subnet.vpc for subnet in found.values()}) == 1
    assert found == network(config).subnets(REGION)


@pytest.mark.parametrize("setting", ["vpc", "subnets"])
def test_ones_own_vpc_or_subnets(config: AwsConfig, cloud: MotoCloud, setting: str) -> None:
    vpc, subnet = own_vpc(cloud)
    value = {"vpc": vpc, "subnets": (subnet,)}[setting]
    found = network(config, **{setting: value}).subnets(REGION)
    assert [(each.id, each.vpc) for each in found.values()] == [(subnet, vpc)]


def test_no_default_vpc(config: AwsConfig, cloud: MotoCloud) -> None:
    for subnet in cloud.ec2().describe_subnets()["Subnets"]:
        cloud.ec2().delete_subnet(SubnetId=subnet["SubnetId"])
    with pytest.raises(InvalidConfiguration, match="no default VPC") as caught:
        network(config).subnets(REGION)
    assert caught.value.hint and "create-default-vpc" in caught.value.hint


def test_one_group_that_opens_ssh_to_the_named_networks_only(config: AwsConfig, cloud: MotoCloud) -> None:
    here = network(config, ssh_from=("10.1.0.0/16", "192.0.2.7/32"))
    vpc = next(iter(here.subnets(REGION).values())).vpc
    made = here.ssh_group(REGION, vpc)
    assert here.ssh_group(REGION, vpc) == made
    assert network(config, ssh_from=("10.1.0.0/16",)).ssh_group(REGION, vpc) == made
    (group,) = cloud.ec2().describe_security_groups(GroupIds=[made])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
    assert {each["CidrIp"] for each in rule["IpRanges"]} == {"10.1.0.0/16", "192.0.2.7/32"}
    assert TAGS[0] in group["Tags"]


def test_machines_that_work_together_reach_each_other_and_nobody_else_does(config: AwsConfig, cloud: MotoCloud) -> None:
    here = network(config)
    vpc = next(iter(here.subnets(REGION).values())).vpc
    mesh = here.nodes_group(REGION, vpc)
    assert mesh == network(config).nodes_group(REGION, vpc) != here.ssh_group(REGION, vpc)
    (group,) = cloud.ec2().describe_security_groups(GroupIds=[mesh])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["IpRanges"]) == ("-1", [])
    assert [each["GroupId"] for each in rule["UserIdGroupPairs"]] == [mesh]
    assert TAGS[0] in group["Tags"]


def test_by_default_only_this_computer_may_come(config: AwsConfig, cloud: MotoCloud) -> None:
    here = network(config)
    made = here.ssh_group(REGION, next(iter(here.subnets(REGION).values())).vpc)
    (group,) = cloud.ec2().describe_security_groups(GroupIds=[made])["SecurityGroups"]
    networks = [each["CidrIp"] for each in group["IpPermissions"][0]["IpRanges"]]
    assert networks == [f"{address_towards(cloud.endpoint)}/32"]


def opened(cloud: MotoCloud, group: str) -> dict[str, str]:
    """What each network that is let in is described as."""
    (found,) = cloud.ec2().describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return {each["CidrIp"]: each["Description"] for rule in found["IpPermissions"] for each in rule["IpRanges"]}


def authorize(cloud: MotoCloud, group: str, network: str, port: int, description: str) -> None:
    ranges = [{"CidrIp": network, "Description": description}]
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}
    cloud.ec2().authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])  # type: ignore[list-item]


def test_an_address_that_this_computer_had_before_is_closed(config: AwsConfig, cloud: MotoCloud) -> None:
    named = network(config, ssh_from=("10.1.0.0/16", "192.0.2.7/32"))
    vpc = next(iter(named.subnets(REGION).values())).vpc
    group = named.ssh_group(REGION, vpc)
    authorize(cloud, group, "192.0.2.9/32", 22, "dstack-cloud")
    authorize(cloud, group, "192.0.2.8/32", 22, "a colleague")
    authorize(cloud, group, "192.0.2.9/32", 443, "dstack-cloud")
    here, address = network(config), f"{address_towards(cloud.endpoint)}/32"
    assert here.ssh_group(REGION, vpc) == group
    assert opened(cloud, group).keys() == {"10.1.0.0/16", "192.0.2.7/32", "192.0.2.8/32", "192.0.2.9/32", address}
    (ssh,) = [
        rule
        for rule in cloud.ec2().describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
        if rule["FromPort"] == 22
    ]
    assert {each["CidrIp"] for each in ssh["IpRanges"]} == {"10.1.0.0/16", "192.0.2.7/32", "192.0.2.8/32", address}


def test_an_address_that_comes_back_is_let_in_again(config: AwsConfig, cloud: MotoCloud) -> None:
    here = network(config)
    vpc = next(iter(here.subnets(REGION).values())).vpc
    for address in ("192.0.2.1/32", "192.0.2.2/32", "192.0.2.1/32"):
        here._own._known = (time.monotonic(), address)
        assert opened(cloud, here.ssh_group(REGION, vpc)).keys() == {address}


def test_an_earlier_address_that_may_not_be_closed_stops_nothing(config: AwsConfig, cloud: MotoCloud) -> None:
    here = network(config)
    vpc = next(iter(here.subnets(REGION).values())).vpc
    authorize(cloud, here.ssh_group(REGION, vpc), "192.0.2.9/32", 22, "dstack-cloud")
    cloud.fail("RevokeSecurityGroupIngress", "UnauthorizedOperation")
    moved = network(config, ssh_from=("10.1.0.0/16",))
    assert "10.1.0.0/16" in opened(cloud, moved.ssh_group(REGION, vpc))

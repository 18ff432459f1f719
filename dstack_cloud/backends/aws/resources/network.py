"""Where machines are put: subnets that are there already, and security groups of ours in each VPC: one for all, and one more for
machines that work together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.base.own_address import OwnAddress
from dstack_cloud.errors import BackendError, InvalidConfiguration, Unavailable

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef, IpPermissionTypeDef, IpRangeTypeDef, TagTypeDef

log = logging.getLogger(__name__)

# they hardly ever change
AGE_SECONDS = 3600.0
SSH_PORT = 22
# what a rule's description says of its network: learnt, so it goes when this computer has another; or named in `ssh_from`
LEARNT, NAMED = "dstack-cloud", "dstack-cloud ssh_from"


@dataclass(frozen=True)
class Subnet:
    id: str
    zone: str
    vpc: str


class Network:
    """`tags` go onto what is made here. Threads share it."""

    def __init__(self, client: AwsClient, name: str, tags: list[TagTypeDef]) -> None:
        self._client, self._name, self._tags = client, name, tags
        self._lock = threading.Lock()
        self._subnets = Memory[str, Mapping[str, Subnet]](AGE_SECONDS)
        self._groups: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self._meshes: dict[tuple[str, str], str] = {}
        self._own = OwnAddress(client.config.endpoint)

    def subnets(self, region: str) -> Mapping[str, Subnet]:
        """One subnet a zone. Raises InvalidConfiguration where there is none."""
        return self._subnets.get(region, lambda: self._look(region))

    def ssh_group(self, region: str, vpc: str) -> str:
        """The id of the security group there: SSH from this computer, or from the configured networks, and nothing else."""
        allowed = self._client.config.ssh_from or (self._own.network(),)
        key = (region, vpc, allowed)
        with self._lock:
            if key not in self._groups:
                made = self._made(region, vpc, self._name, "SSH to the machines of dstack-cloud")
                opened = [self._open(region, made, network) for network in allowed]
                if any(opened):
                    self._close_others(region, made, allowed)
                    # an address that comes back is let in anew
                    self._groups = {known: group for known, group in self._groups.items() if known[:2] != key[:2]}
                self._groups[key] = made
            return self._groups[key]

    def nodes_group(self, region: str, vpc: str) -> str:
        """The id of the security group there whose members reach each other at every port, and are reached by nobody else."""
        with self._lock:
            if (region, vpc) not in self._meshes:
                made = self._made(region, vpc, f"{self._name}-nodes", "machines of dstack-cloud that work together")
                self._allow(region, made, {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": made}]})
                self._meshes[region, vpc] = made
            return self._meshes[region, vpc]

    def let_in(self, region: str) -> None:
        """This computer may have another address than when the machines there were made: they are reached from it all the
        same. What can't be done now is tried again with the next look at them."""
        if self._client.config.ssh_from:
            return
        try:
            for vpc in sorted({subnet.vpc for subnet in self.subnets(region).values()}):
                self.ssh_group(region, vpc)
        except BackendError as refused:
            log.info("%s: %s", region, refused.summary)

    def forget(self, region: str) -> None:
        """What was found there isn't there any more."""
        self._subnets.forget(lambda known: known == region)
        with self._lock:
            self._groups = {key: group for key, group in self._groups.items() if key[0] != region}
            self._meshes = {key: group for key, group in self._meshes.items() if key[0] != region}

    def _look(self, region: str) -> Mapping[str, Subnet]:
        config = self._client.config
        filters: list[FilterTypeDef] = [{"Name": "state", "Values": ["available"]}]
        if config.subnets:
            filters.append({"Name": "subnet-id", "Values": list(config.subnets)})
        elif config.vpc:
            filters.append({"Name": "vpc-id", "Values": [config.vpc]})
        else:
            filters.append({"Name": "default-for-az", "Values": ["true"]})
        with translated(region):
            answer = self._client.ec2(region).describe_subnets(Filters=filters)
        found: dict[str, Subnet] = {}
        # always the same choice: a launch that is asked again must ask for the same
        for subnet in sorted(answer["Subnets"], key=lambda subnet: subnet["SubnetId"]):
            zone = subnet["AvailabilityZone"]
            found.setdefault(zone, Subnet(subnet["SubnetId"], zone, subnet["VpcId"]))
        if not found:
            raise InvalidConfiguration(*self._nowhere(region))
        return found

    def _nowhere(self, region: str) -> tuple[str, str]:
        config = self._client.config
        if config.subnets or config.vpc:
            named = ", ".join(config.subnets) or config.vpc
            return f"{region} has no subnet of {named}", "name `subnets` of every region in `regions`"
        return (
            f"{region} has no default VPC",
            f"make one (`aws ec2 create-default-vpc --region {region}`), or name your own `subnets` or `vpc`",
        )

    def _made(self, region: str, vpc: str, name: str, description: str) -> str:
        ec2 = self._client.ec2(region)
        try:
            with translated(f"{region} {vpc}"):
                return ec2.create_security_group(
                    GroupName=name,
                    Description=description,
                    VpcId=vpc,
                    TagSpecifications=[{"ResourceType": "security-group", "Tags": self._tags}],
                )["GroupId"]
        except BackendError as refused:
            if refused.cloud_code != "InvalidGroup.Duplicate":
                raise
        filters: list[FilterTypeDef] = [
            {"Name": "group-name", "Values": [name]},
            {"Name": "vpc-id", "Values": [vpc]},
        ]
        with translated(f"{region} {vpc}"):
            found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if not found:
            raise Unavailable(f"the security group {name} of {vpc} in {region} can't be seen yet")
        return found[0]["GroupId"]

    def _open(self, region: str, group: str, network: str) -> bool:
        """Whether it was closed before."""
        described: IpRangeTypeDef = {
            "CidrIp": network,
            "Description": NAMED if self._client.config.ssh_from else LEARNT,
        }
        return self._allow(
            region,
            group,
            {"IpProtocol": "tcp", "FromPort": SSH_PORT, "ToPort": SSH_PORT, "IpRanges": [described]},
        )

    def _allow(self, region: str, group: str, permission: IpPermissionTypeDef) -> bool:
        """Whether it wasn't before."""
        try:
            with translated(f"{region} {group}"):
                self._client.ec2(region).authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        except BackendError as refused:
            if refused.cloud_code != "InvalidPermission.Duplicate":
                raise
            return False
        return True

    def _close_others(self, region: str, group: str, allowed: tuple[str, ...]) -> None:
        """Addresses that this computer had before may be somebody else's by now."""
        ec2 = self._client.ec2(region)
        try:
            with translated(f"{region} {group}"):
                rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
                ranges = [each for rule in rules if rule.get("FromPort") == SSH_PORT for each in rule["IpRanges"]]
                learnt = [each["CidrIp"] for each in ranges if each.get("Description") == LEARNT]
                for network in sorted(set(learnt) - set(allowed)):
                    ec2.revoke_security_group_ingress(
                        GroupId=group, IpProtocol="tcp", FromPort=SSH_PORT, ToPort=SSH_PORT, CidrIp=network
                    )
        except BackendError as refused:
            # without this permission all the rest works
            log.warning("%s: earlier addresses stay open in %s: %s", region, group, refused.summary)

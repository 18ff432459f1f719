"""What is AWS's own in a machine's life."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.fleet import CONSISTENT_SECONDS, Fleet
from dstack_cloud.backends.base import Health, Launch
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration, NoCapacity, Unavailable
from tests.fakes.aws import REGION, MotoCloud

UNKNOWN = f"{REGION}/i-0123456789abcdef0"
STORE = "s3://bucket/team"


@pytest.fixture
def launch(backend: AwsBackend) -> Launch:
    return Launch(key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0], store=STORE)


def test_an_unknown_machine_is_gone_once_everybody_would_know_of_it(config: AwsConfig) -> None:
    now = [0.0]
    fleet = Fleet(AwsClient(config), "me", lambda: now[0])
    assert fleet.inspect([UNKNOWN])[UNKNOWN].health is Health.STARTING
    now[0] = CONSISTENT_SECONDS
    assert fleet.inspect([UNKNOWN])[UNKNOWN].health is Health.GONE
    fleet.made(UNKNOWN)
    assert fleet.inspect([UNKNOWN])[UNKNOWN].health is Health.STARTING
    fleet.terminate([UNKNOWN])
    assert fleet.inspect([UNKNOWN])[UNKNOWN].health is Health.GONE


def test_one_that_is_missing_does_not_hide_the_others(backend: AwsBackend, launch: Launch, cloud: MotoCloud) -> None:
    ref = backend.create(launch)
    seen = backend.inspect([UNKNOWN, ref, "nonsense"])
    assert (seen[ref].health, seen["nonsense"].health) == (Health.RUNNING, Health.GONE)
    backend.terminate([UNKNOWN, ref, "nonsense"])
    assert cloud.held() == []


def test_more_machines_than_one_page_holds(config: AwsConfig, cloud: MotoCloud) -> None:
    ec2 = cloud.ec2()
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = [ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1) for _ in range(101)]
    refs = [f"{REGION}/{each['Instances'][0]['InstanceId']}" for each in made]
    fleet = Fleet(AwsClient(config), "me", lambda: CONSISTENT_SECONDS)
    assert {seen.health for seen in fleet.inspect(refs).values()} == {Health.RUNNING}


def test_a_machine_that_somebody_else_ended(backend: AwsBackend, launch: Launch, cloud: MotoCloud) -> None:
    ref = backend.create(launch)
    cloud.ec2().terminate_instances(InstanceIds=[ref.partition("/")[2]])
    seen = backend.inspect([ref])[ref]
    assert (seen.health, seen.detail) == (Health.GONE, "it was terminated")
    assert backend.list_owned() == []


def test_a_computer_that_moved_to_another_network_still_reaches_its_machines(
    backend: AwsBackend, launch: Launch, cloud: MotoCloud, config: AwsConfig, installation: str, tmp_path: Path
) -> None:
    ref, ec2 = backend.create(launch), cloud.ec2()
    names = [{"Name": "group-name", "Values": [f"dstack-{installation}"]}]
    (group,) = ec2.describe_security_groups(Filters=names)["SecurityGroups"]  # type: ignore[arg-type]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    AwsBackend(config, tmp_path, installation, "python:{python}").inspect([ref])
    (after,) = ec2.describe_security_groups(Filters=names)["SecurityGroups"]  # type: ignore[arg-type]
    assert after["IpPermissions"] == group["IpPermissions"]


def test_disks_that_were_left_behind_are_owned_and_removed(
    backend: AwsBackend, cloud: MotoCloud, installation: str
) -> None:
    backend.offers(Requirements())
    tags = [{"Key": "dstack-owner", "Value": installation}, {"Key": "dstack-key", "Value": "k1"}]
    kinds = [{"ResourceType": "volume", "Tags": tags}]
    cloud.ec2().create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=kinds)  # type: ignore[arg-type]
    cloud.ec2().create_volume(AvailabilityZone=f"{REGION}a", Size=1)
    (owned,) = backend.list_owned()
    assert owned.key == "k1"
    backend.terminate([owned.ref])
    backend.terminate([owned.ref])
    assert backend.list_owned() == [] and len(cloud.ec2().describe_volumes()["Volumes"]) == 1


def test_a_profile_that_ec2_has_not_heard_of_yet(backend: AwsBackend, launch: Launch, cloud: MotoCloud) -> None:
    words = "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    cloud.fail("RunInstances", "InvalidParameterValue", message=words, times=1)
    with pytest.raises(Unavailable, match="hasn't heard of the instance profile"):
        backend.create(launch)
    assert backend.create(launch)


def test_a_profile_of_the_users_that_is_not_there(config: AwsConfig, backend: AwsBackend, launch: Launch) -> None:
    other = AwsBackend(config.model_copy(update={"instance_profile": "nope"}), backend.home, "me", "")
    with pytest.raises(InvalidConfiguration, match="there is no instance profile nope"):
        other.create(launch)


def test_the_same_key_in_other_words(
    backend: AwsBackend, launch: Launch, cloud: MotoCloud, config: AwsConfig, installation: str
) -> None:
    ref = backend.create(launch)
    cloud.fail("RunInstances", "IdempotentParameterMismatch")
    backend.terminate([ref])
    assert backend.create(launch) == ref
    with pytest.raises(Unavailable, match="in other words"):
        backend.create(Launch(key="another", offer=launch.offer))


def test_a_node_of_several_is_in_both_groups_and_tells_its_private_address(
    backend: AwsBackend, launch: Launch, cloud: MotoCloud, installation: str
) -> None:
    ref = backend.create(replace(launch, nodes=2))
    described = cloud.ec2().describe_instances(InstanceIds=[ref.partition("/")[2]])["Reservations"][0]["Instances"][0]
    names = {each["GroupName"] for each in described["NetworkInterfaces"][0]["Groups"]}
    assert names == {f"dstack-{installation}", f"dstack-{installation}-nodes"}
    assert backend.inspect([ref])[ref].address == described["PrivateIpAddress"]


def test_a_group_that_was_removed_is_made_again(backend: AwsBackend, launch: Launch, cloud: MotoCloud) -> None:
    backend.terminate([backend.create(launch)])
    groups = cloud.ec2().describe_security_groups()["SecurityGroups"]
    (group,) = [each for each in groups if "dstack" in each["GroupName"]]
    cloud.ec2().delete_security_group(GroupId=group["GroupId"])
    cloud.fail("RunInstances", "InvalidGroup.NotFound", times=1)  # moto doesn't look
    another = Launch(key="another", offer=launch.offer)
    with pytest.raises(Unavailable):
        backend.create(another)
    assert backend.create(another)
    assert cloud.calls("CreateSecurityGroup") == 2


def test_a_zone_without_a_subnet_has_no_capacity(backend: AwsBackend, launch: Launch) -> None:
    offer = launch.offer.model_copy(update={"zone": "us-east-1z"})
    with pytest.raises(NoCapacity, match="us-east-1z"):
        backend.create(Launch(key="k", offer=offer))


def test_findings_tell_what_is_wrong_and_what_to_do(config: AwsConfig, backend: AwsBackend, cloud: MotoCloud) -> None:
    assert all(finding.ok for finding in backend.validate())
    cloud.fail("GetCallerIdentity", "ExpiredToken", service="sts", times=1)
    (finding,) = backend.validate()
    assert not finding.ok and "log in again" in finding.fix
    far = AwsBackend(config.model_copy(update={"regions": ("ap-east-1",)}), backend.home, "me", "")
    assert [finding.text for finding in far.validate() if not finding.ok] == ["ap-east-1 isn't enabled for the account"]

"""The emulated AWS refuses, forgets and lies as the real one does; asked through boto3."""

from __future__ import annotations

import json
import threading

import pytest

from tests.fakes.aws import MotoCloud
from tests.unit.fakes.launches import SPOT, launch, refused, state, until

pytestmark = pytest.mark.moto

NO_CAPACITY = "InsufficientInstanceCapacity"


def test_a_type_an_image_or_a_key_that_does_not_exist(moto: MotoCloud) -> None:
    assert refused(moto, InstanceType="m5.tiny") == "InvalidInstanceType.NotFound"
    assert refused(moto, ImageId="ami-00000000") == "InvalidAMIID.NotFound"
    assert refused(moto, KeyName="nobody's") == "InvalidKeyPair.NotFound"
    assert moto.held() == []


def test_one_token_is_one_instance(moto: MotoCloud) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(launch(moto, ClientToken="t"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {each["id"] for each in moto.instances()} == set(found)
    assert len(set(found)) == 1


def test_a_token_with_other_parameters_or_of_an_instance_that_ended(moto: MotoCloud) -> None:
    id = launch(moto, ClientToken="t")
    assert refused(moto, ClientToken="t", InstanceType="c5.large") == "IdempotentParameterMismatch"
    assert launch(moto, "eu-west-3", ClientToken="t") != id
    moto.ec2().terminate_instances(InstanceIds=[id])
    assert refused(moto, ClientToken="t") == "IdempotentInstanceTerminated"


def test_a_boot_takes_its_time(moto: MotoCloud) -> None:
    moto.set(boot_delay=3600)
    id = launch(moto)
    assert state(moto, id) == "pending"
    moto.ec2().terminate_instances(InstanceIds=[id])
    assert state(moto, id) == "terminated"
    moto.set(boot_delay=0)
    assert state(moto, launch(moto)) == "running"


def test_no_capacity_by_zone_type_and_market(moto: MotoCloud) -> None:
    moto.fail("RunInstances", NO_CAPACITY, market="spot", zone="us-east-1a")
    subnets = moto.ec2().describe_subnets()["Subnets"]
    here, there = (
        next(each["SubnetId"] for each in subnets if each["AvailabilityZone"] == f"us-east-1{zone}") for zone in "ab"
    )
    nic = [{"DeviceIndex": 0, "SubnetId": here}]
    assert refused(moto, SubnetId=here, InstanceMarketOptions=SPOT) == NO_CAPACITY
    assert refused(moto, NetworkInterfaces=nic, InstanceMarketOptions=SPOT) == NO_CAPACITY
    assert refused(moto, Placement={"AvailabilityZone": "us-east-1a"}, InstanceMarketOptions=SPOT) == NO_CAPACITY
    assert launch(moto, SubnetId=there, InstanceMarketOptions=SPOT)
    assert launch(moto, SubnetId=here)
    moto.fail("RunInstances", NO_CAPACITY, type="m5.large", times=1)
    assert [refused(moto) == NO_CAPACITY for _ in range(2)] == [True, False]


def test_a_quota_counts_what_runs(moto: MotoCloud) -> None:
    moto.set(vcpus=2)
    listed = moto.client("service-quotas").list_service_quotas(ServiceCode="ec2")["Quotas"]
    assert {each["Value"] for each in listed} == {2.0}
    id = launch(moto, ClientToken="t")
    assert refused(moto) == "VcpuLimitExceeded"
    assert launch(moto, ClientToken="t") == id
    assert launch(moto, InstanceMarketOptions=SPOT)
    assert refused(moto, InstanceMarketOptions=SPOT) == "MaxSpotInstanceCountExceeded"
    moto.ec2().terminate_instances(InstanceIds=[id])
    assert launch(moto)


def test_an_answer_that_is_lost_after_its_effect(moto: MotoCloud) -> None:
    moto.fail("RunInstances", "InternalError", after=True, times=1)
    assert refused(moto, ClientToken="one") == "InternalError"
    moto.fail("RunInstances", cut=True, after=True, times=1)
    assert refused(moto, ClientToken="two") == "ConnectionClosedError"
    assert len(moto.instances("running")) == 2
    assert {launch(moto, ClientToken="one"), launch(moto, ClientToken="two")} == {i["id"] for i in moto.instances()}


def test_a_connection_that_breaks_before_has_no_effect(moto: MotoCloud) -> None:
    moto.fail("RunInstances", cut=True)
    assert refused(moto) == "ConnectionClosedError"
    moto.forgive()
    assert moto.instances() == []


def test_refusals_by_region_and_by_key(moto: MotoCloud) -> None:
    moto.fail("*", "OptInRequired", region="eu-south-1")
    assert refused(moto, "eu-west-3") != "OptInRequired"
    with pytest.raises(Exception, match="OptInRequired"):
        moto.ec2("eu-south-1").describe_subnets()
    moto.fail("*", "ExpiredToken", service="*", access_key="AKIAOLD")
    for service, verb in (("ec2", "describe_vpcs"), ("sts", "get_caller_identity"), ("ssm", "describe_parameters")):
        with pytest.raises(Exception, match="ExpiredToken"):
            getattr(moto.client(service, access_key="AKIAOLD"), verb)()
        getattr(moto.client(service), verb)()


def test_a_new_instance_cannot_be_seen_at_once(moto: MotoCloud) -> None:
    moto.set(invisible_for=3600)
    id = launch(moto, ClientToken="t")
    assert moto.ec2().describe_instances()["Reservations"] == []
    with pytest.raises(Exception, match="InvalidInstanceID"):
        moto.ec2().describe_instances(InstanceIds=[id])
    assert launch(moto, ClientToken="t") == id


def test_an_interruption_says_why(moto: MotoCloud) -> None:
    id = launch(moto, InstanceMarketOptions=SPOT)
    moto.interrupt(id, 0)
    until(lambda: state(moto, id) == "terminated")
    filters = [{"Name": "instance-lifecycle", "Values": ["spot"]}]
    [found] = moto.ec2().describe_instances(Filters=filters)["Reservations"][0]["Instances"]
    assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    moto.ec2().terminate_instances(InstanceIds=[id])
    assert moto.instances()[0]["reason"] == "Server.SpotInstanceTermination"


def test_tags_reach_disk_and_interface_and_all_go_with_the_instance(moto: MotoCloud) -> None:
    kinds = ("instance", "volume", "network-interface")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "owner", "Value": "me"}]} for kind in kinds]
    id = launch(moto, TagSpecifications=tags)
    filters = [{"Name": "tag:owner", "Values": ["me"]}]
    assert len(moto.ec2().describe_volumes(Filters=filters)["Volumes"]) == 1
    assert len(moto.ec2().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]) == 1
    assert len(moto.held()) == 3
    moto.ec2().terminate_instances(InstanceIds=[id])
    moto.ec2().terminate_instances(InstanceIds=[id])
    assert moto.held() == []


def test_spot_costs_less_than_on_demand(moto: MotoCloud) -> None:
    history = moto.ec2().describe_spot_price_history(
        InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"], Filters=[]
    )["SpotPriceHistory"]
    spot = {each["AvailabilityZone"]: float(each["SpotPrice"]) for each in history}
    filters = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value}
        for name, value in (("instanceType", "g5.xlarge"), ("regionCode", "us-east-1"))
    ]
    [text] = moto.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
    [term] = json.loads(text)["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    assert 0.1 < min(spot.values()) < max(spot.values()) < float(dimension["pricePerUnit"]["USD"])


def test_without_its_default_vpc_a_region_has_no_subnet(moto: MotoCloud) -> None:
    moto.remove_default_vpc()
    assert moto.ec2().describe_subnets()["Subnets"] == moto.ec2().describe_vpcs()["Vpcs"] == []
    assert refused(moto) == "VPCIdNotSpecified"


def test_calls_are_counted(moto: MotoCloud) -> None:
    launch(moto)
    assert (moto.calls("RunInstances"), moto.calls(), moto.calls("GetParameter", "ssm")) == (1, 1, 1)

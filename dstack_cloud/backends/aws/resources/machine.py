"""One machine as EC2 describes it: the request that makes it, and what is seen of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.images import Image
from dstack_cloud.backends.aws.resources.network import Subnet
from dstack_cloud.backends.aws.resources.policy import OWNER_TAG
from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import EbsBlockDeviceTypeDef, InstanceTypeDef, RunInstancesRequestTypeDef, TagTypeDef

KEY_TAG = "dstack-key"
LIFETIME_TAG = "dstack-lifetime"
# what a value may be: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
TAG_VALUE_LENGTH = 256
NOT_IN_A_TAG = re.compile(r"[^\w\s.:/=+\-@]")
ENDED = ("shutting-down", "terminated")
# somebody else did that: it keeps its volumes
STOPPED = ("stopping", "stopped")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
ENDINGS = {
    "Server.SpotInstanceTermination": "a spot interruption",
    "Server.SpotInstanceShutdown": "a spot interruption",
    "Server.InsufficientInstanceCapacity": "AWS had no capacity for it",
    "Server.InternalError": "AWS failed while it started",
    "Server.ScheduledStop": "AWS stopped it for maintenance",
    "Client.InstanceInitiatedShutdown": "it powered itself off",
    "Client.UserInitiatedShutdown": "it was terminated",
    "Client.UserInitiatedHibernate": "it was hibernated",
    "Client.VolumeLimitExceeded": "the account's quota of volumes is used up",
    "Client.InvalidSnapshot.NotFound": "its image's snapshot is gone",
    "Client.InternalError": "its root volume couldn't be used (may these credentials use the volume's key?)",
}


@dataclass(frozen=True)
class Place:
    """Where and what a machine is made of. `groups` are security groups; `identity` is an instance profile's name, "" for none."""

    image: Image
    subnet: Subnet
    groups: tuple[str, ...]
    identity: str


def tags(values: Mapping[str, str]) -> list[TagTypeDef]:
    return [
        {"Key": key, "Value": NOT_IN_A_TAG.sub("_", value)[:TAG_VALUE_LENGTH]} for key, value in sorted(values.items())
    ]


def request(config: AwsConfig, installation: str, launch: Launch, place: Place) -> RunInstancesRequestTypeDef:
    """The same launch always gives the same request: the key is its ClientToken, and AWS refuses another request with it."""
    # the time itself would differ from try to try: the machine's LaunchTime plus this is when it ends at the latest
    marks = tags({**launch.tags, OWNER_TAG: installation, KEY_TAG: launch.key, LIFETIME_TAG: f"{launch.lifetime:.0f}"})
    made: RunInstancesRequestTypeDef = {
        "ClientToken": launch.key,
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": place.image.id,
        "InstanceType": launch.offer.instance_type,  # type: ignore[typeddict-item] # newer ones than the SDK lists, too
        "UserData": launch.user_data,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": place.image.device, "Ebs": _root_volume(config, launch, place.image)}],
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": place.subnet.id,
                "Groups": list(place.groups),
                "AssociatePublicIpAddress": config.public_ip,
                "DeleteOnTermination": True,
            }
        ],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": marks},
            {"ResourceType": "volume", "Tags": marks},
            {"ResourceType": "network-interface", "Tags": marks},
        ],
    }
    if place.identity:
        made["IamInstanceProfile"] = {"Name": place.identity}
    if launch.offer.spot:
        made["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
        made["TagSpecifications"] = [
            *made["TagSpecifications"],
            {"ResourceType": "spot-instances-request", "Tags": marks},
        ]
    return made


def _root_volume(config: AwsConfig, launch: Launch, image: Image) -> EbsBlockDeviceTypeDef:
    """What the job asks for comes on top of what the image fills; where it doesn't say, as much again as the image."""
    size = max(config.disk, image.size + (launch.disk or image.size))
    return {"VolumeSize": -(-size // GIB), "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}


def observe(config: AwsConfig, ref: str, instance: InstanceTypeDef) -> Observed:
    if instance["State"]["Name"] in ENDED:
        return Observed(ref, Health.GONE, detail=_ending(instance))
    if instance["State"]["Name"] in STOPPED:
        return Observed(ref, Health.STOPPED, detail=_ending(instance))
    address = instance.get("PublicIpAddress" if config.public_ip else "PrivateIpAddress", "")
    if instance["State"]["Name"] != "running" or not address:
        return Observed(ref, Health.STARTING)
    private = instance.get("PrivateIpAddress", "")
    return Observed(ref, Health.RUNNING, f"ssh:{LOGIN_USER}@{address}:22", address=private)


def _ending(instance: InstanceTypeDef) -> str:
    reason = instance.get("StateReason", {})
    code, message = reason.get("Code", ""), reason.get("Message", "")
    return ENDINGS.get(code) or message or instance.get("StateTransitionReason", "") or "it ended"


def key_of(thing: Mapping[str, Any]) -> str:
    """The launch's key of an instance, volume or interface; "" where it carries none."""
    marks = thing.get("Tags") or thing.get("TagSet") or []
    return next((str(tag["Value"]) for tag in marks if tag["Key"] == KEY_TAG), "")

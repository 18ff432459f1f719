"""Whom machines act as: found or made, once."""

from __future__ import annotations

import json

import pytest

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.identity import Identity
from dstack_cloud.errors import NotAuthorized
from tests.fakes.aws import MotoCloud

STORE = "s3://bucket/team"
TAGS = [{"Key": "dstack-owner", "Value": "me"}]


def identity(config: AwsConfig, **settings: object) -> Identity:
    return Identity(AwsClient(config.model_copy(update=settings)), "me", list(TAGS))  # type: ignore[arg-type]


def test_machines_may_use_their_store_and_nothing_else(config: AwsConfig, cloud: MotoCloud) -> None:
    name = identity(config).find(STORE)
    iam = cloud.client("iam")
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [name]
    document = iam.get_role_policy(RoleName=name, PolicyName="store")["PolicyDocument"]
    assert {action.partition(":")[0] for each in document["Statement"] for action in each["Action"]} == {"s3"}
    assert "arn:aws:s3:::bucket/team/*" in json.dumps(document)
    assert TAGS[0] in iam.list_role_tags(RoleName=name)["Tags"]


def test_the_profile_is_made_once_and_mended_where_its_making_broke_off(config: AwsConfig, cloud: MotoCloud) -> None:
    cloud.fail("AddRoleToInstanceProfile", "ServiceUnavailable", service="iam", times=3)
    with pytest.raises(Exception, match="AWS failed"):
        identity(config).find(STORE)
    name = identity(config).find(STORE)
    assert identity(config).find(STORE) == name
    assert cloud.calls("AddRoleToInstanceProfile", "iam") == 4
    assert identity(config).find("s3://other") != name


@pytest.mark.parametrize(
    ("setting", "store", "profile"), [("mine", STORE, "mine"), ("none", STORE, ""), ("", "file:///store", "")]
)
def test_no_profile_is_made_where_none_is_needed(
    config: AwsConfig, cloud: MotoCloud, setting: str, store: str, profile: str
) -> None:
    assert identity(config, instance_profile=setting).find(store) == profile
    assert cloud.calls(service="iam") == 0


def test_a_profile_that_may_not_be_made(config: AwsConfig, cloud: MotoCloud) -> None:
    words = "User: x is not authorized to perform: iam:CreateRole on resource: y"
    cloud.fail("CreateRole", "AccessDenied", service="iam", message=words)
    with pytest.raises(NotAuthorized, match="iam:CreateRole is missing"):
        identity(config).find(STORE)

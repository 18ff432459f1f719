"""IAM policies: what the user's credentials need, what a machine may do, what short-lived credentials may do. Pure.

Names of actions, resources and condition keys:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dstack_cloud.backends.aws.config import NO_IDENTITY, SCHEME, AwsConfig
from dstack_cloud.backends.base.access import is_in, place_of

OWNER_TAG = "dstack-owner"
# every role and instance profile that is made here begins so
PREFIX = "dstack-"
VERSION = "2012-10-17"

LOOK = (
    *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings"),
    *("ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeRegions"),
    *("ec2:DescribeImages", "ec2:DescribeVolumes", "ec2:DescribeNetworkInterfaces"),
    *("pricing:GetProducts", "servicequotas:ListServiceQuotas", "sts:GetCallerIdentity"),
)
MAKE = ("ec2:RunInstances", "ec2:CreateSecurityGroup")
END = (
    *("ec2:TerminateInstances", "ec2:DeleteVolume", "ec2:DeleteNetworkInterface"),
    *("ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"),
)
MAKE_IDENTITY = (
    *("iam:GetInstanceProfile", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:TagInstanceProfile"),
    *("iam:CreateRole", "iam:PutRolePolicy", "iam:TagRole"),
)
# multipart uploads are S3's: s3:PutObject starts and completes them
USE_STORE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")

Statement = dict[str, Any]


def least_permissions(config: AwsConfig, store: str = "", partition: str = "aws") -> str:
    """The JSON of the smallest policy with which everything works; `store` is the home store's URL."""
    statements = [
        _allow("Look", LOOK, "*"),
        _allow("FindImages", ["ssm:GetParameter"], f"arn:{partition}:ssm:*::parameter/aws/service/*"),
        _allow("MakeMachines", MAKE, "*"),
        _allow(
            "TagWhatIsMade",
            ["ec2:CreateTags"],
            "*",
            {"StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateSecurityGroup"]}},
        ),
        _allow("EndOnlyOurs", END, "*", {"Null": {f"aws:ResourceTag/{OWNER_TAG}": "false"}}),
        _allow(
            "FirstSpotMachine",
            ["iam:CreateServiceLinkedRole"],
            f"arn:{partition}:iam::*:role/aws-service-role/spot.amazonaws.com/*",
            {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        ),
        *_identity(config, store, partition),
        *_lending(config, store),
    ]
    if is_in(store, SCHEME):
        statements += store_statements(store, [""], partition)
    return json.dumps({"Version": VERSION, "Statement": statements}, indent=2)


def machine_policy(store: str, partition: str = "aws") -> str:
    """What a machine may do: use the project's store."""
    return json.dumps({"Version": VERSION, "Statement": store_statements(store, [""], partition)})


def lent_permissions(store: str, prefixes: Sequence[str], partition: str = "aws", *, reads: Sequence[str] = ()) -> str:
    """What short-lived credentials may do: use these prefixes of the store, and read at `reads`."""
    statements = store_statements(store, prefixes, partition, reads=reads)
    document = {"Version": VERSION, "Statement": statements}
    return json.dumps(document, separators=(",", ":"))  # the limit is 2,048 characters


def trust_policy(partition: str = "aws") -> str:
    service = "ec2.amazonaws.com.cn" if partition == "aws-cn" else "ec2.amazonaws.com"
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": VERSION, "Statement": [statement]})


def partition_of(regions: Sequence[str]) -> str:
    """Regions of China and of the US government are apart: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"""
    first = regions[0] if regions else ""
    apart = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((partition for prefix, partition in apart.items() if first.startswith(prefix)), "aws")


def store_statements(
    store: str, prefixes: Sequence[str], partition: str = "aws", *, reads: Sequence[str] = ()
) -> list[Statement]:
    """What reading and writing below these prefixes of a store needs, and reading below `reads`. A prefix is what keys begin
    with."""
    bucket, folder = place_of(store)
    arn = f"arn:{partition}:s3:::{bucket}"
    used, read = ([f"{_literal(f'{folder}{prefix}')}*" for prefix in some] for some in (prefixes, reads))
    listing = None if used == ["*"] else {"StringLike": {"s3:prefix": used + read}}
    reading = [_allow("ReadObjects", ["s3:GetObject"], [f"{arn}/{pattern}" for pattern in read])] if read else []
    return [
        _allow("UseObjects", USE_STORE, [f"{arn}/{pattern}" for pattern in used]),
        *reading,
        _allow("ListObjects", ["s3:ListBucket"], arn, listing),
    ]


def _identity(config: AwsConfig, store: str, partition: str) -> list[Statement]:
    if config.instance_profile == NO_IDENTITY or not (config.instance_profile or is_in(store, SCHEME)):
        return []
    name = "*" if config.instance_profile else f"{PREFIX}*"
    role = f"arn:{partition}:iam::*:role/{name}"
    ec2 = {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}}
    passing = _allow("GiveMachinesTheirRole", ["iam:PassRole"], role, ec2)
    if config.instance_profile:
        return [passing]
    places = [role, f"arn:{partition}:iam::*:instance-profile/{PREFIX}*"]
    return [_allow("MakeTheMachinesRole", MAKE_IDENTITY, places), passing]


def _lending(config: AwsConfig, store: str) -> list[Statement]:
    if not is_in(store, SCHEME):
        return []
    if config.lend_role:
        return [_allow("LendTheStore", ["sts:AssumeRole"], config.lend_role)]
    return [_allow("LendTheStore", ["sts:GetFederationToken"], "*")]


def _allow(
    name: str, actions: Sequence[str], resource: str | list[str], condition: dict[str, Any] | None = None
) -> Statement:
    statement: Statement = {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement if condition is None else {**statement, "Condition": condition}


def _literal(text: str) -> str:
    """IAM's own spelling of characters that are wildcards in a policy."""
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(letter, letter) for letter in text)

from __future__ import annotations

import fnmatch
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.lending import S3Access
from dstack_cloud.backends.aws.resources.policy import (
    LOOK,
    MAKE,
    least_permissions,
    lent_permissions,
    partition_of,
    store_statements,
)
from dstack_cloud.backends.base import Launch
from dstack_cloud.domain.resources import Requirements, SpotPolicy
from dstack_cloud.errors import BackendError, StoreError
from tests.fakes.aws import ACCESS_KEY, SECRET_KEY, MotoCloud
from tests.unit.aws.conftest import write_keys

ROOT = Path(__file__).parents[3]
STORE = "s3://bucket/team"


@pytest.fixture
def strict(cloud: MotoCloud) -> Iterator[MotoCloud]:
    """From here on it asks who may do what: a user whose keys are in the default profile may do nothing yet."""
    iam = cloud.client("iam")
    iam.create_user(UserName="dev")
    key = iam.create_access_key(UserName="dev")["AccessKey"]
    login = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).parent
    write_keys(login, default=(key["AccessKeyId"], key["SecretAccessKey"]), root=(ACCESS_KEY, SECRET_KEY))
    yield cloud
    check_permissions(cloud, after=float("inf"))


def check_permissions(cloud: MotoCloud, *, after: float) -> None:
    """So many calls are free."""
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{cloud.endpoint}/moto-api/reset-auth", str(after).encode(), plain)
    urllib.request.urlopen(request, timeout=60).close()


def permit(cloud: MotoCloud, document: str, *, but: str = "") -> None:
    """The actions of a policy, less one. moto can't tell of which resource a call is, nor what a condition looks at."""
    actions = {action for each in json.loads(document)["Statement"] for action in each["Action"]} - {but}
    statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("iam").put_user_policy(UserName="dev", PolicyName="least", PolicyDocument=policy)
    check_permissions(cloud, after=0)


def live(backend: AwsBackend) -> None:
    """Everything that is done for a job, on spot, with a store on S3."""
    offer = backend.offers(Requirements(spot_policy=SpotPolicy.SPOT))[0]
    ref = backend.create(Launch(key="k", offer=offer, store=STORE))
    backend.inspect([ref])
    backend.list_owned()
    backend.terminate([ref])


def test_the_least_policy_is_enough(backend: AwsBackend, config: AwsConfig, strict: MotoCloud) -> None:
    permit(strict, least_permissions(config, STORE))
    live(backend)
    findings = backend.validate()
    assert all(finding.ok for finding in findings), findings
    assert S3Access(config, STORE, {}).lend(["runs/a-1/"], 3600)


@pytest.mark.parametrize(
    "action",
    [
        "ec2:RunInstances",
        "ec2:DescribeSubnets",
        "ec2:CreateSecurityGroup",
        "ec2:TerminateInstances",
        "ssm:GetParameter",
        "iam:CreateRole",
    ],
)
def test_less_is_not_enough_and_what_is_missing_is_named(
    backend: AwsBackend, config: AwsConfig, strict: MotoCloud, action: str
) -> None:
    permit(strict, least_permissions(config, STORE), but=action)
    with pytest.raises(BackendError) as caught:
        live(backend)
    assert f"the permission {action} is missing" in caught.value.summary


@pytest.mark.parametrize("action", ["ec2:RunInstances", "ec2:DescribeVolumes"])
def test_validation_names_it_too_and_says_what_prints_the_policy(
    backend: AwsBackend, config: AwsConfig, strict: MotoCloud, action: str
) -> None:
    permit(strict, least_permissions(config, STORE), but=action)
    found = backend.validate()
    wrong = [finding for finding in found if not finding.ok]
    assert any(f"the permission {action} is missing" in finding.text for finding in wrong)
    assert "dstack config permissions aws" in wrong[-1].fix
    permitted = {
        words[-3] for words in (finding.text.split() for finding in found) if words[-2:] == ["is", "permitted"]
    }
    assert permitted == {each for each in (*LOOK, *MAKE) if each.startswith("ec2:")} - {action}


def test_what_is_printed_is_for_these_settings_and_this_store(config: AwsConfig, tmp_path: Path) -> None:
    china = AwsBackend(config.model_copy(update={"regions": ("cn-north-1",)}), tmp_path, "me", "")
    least = china.permissions(STORE)
    assert json.loads(least.document) == json.loads(least_permissions(china._config, STORE, "aws-cn"))
    assert "arn:aws-cn:s3:::bucket/team/*" in least.document
    assert "put-user-policy" in least.apply
    assert [partition_of([region]) for region in ("us-gov-west-1", "eu-west-1")] == ["aws-us-gov", "aws"]


def allows(statements: list[dict[str, Any]], action: str, key: str) -> bool:
    """IAM's wildcards, as far as they are used here."""
    return any(
        action in each["Action"] and any(fnmatch.fnmatchcase(f"arn:aws:s3:::bucket/{key}", r) for r in each["Resource"])
        for each in statements
        if isinstance(each["Resource"], list)
    )


def test_lent_credentials_reach_their_prefixes_only() -> None:
    statements = store_statements(STORE, ["runs/a-1/train/", "cache/train/"])
    assert allows(statements, "s3:PutObject", "team/runs/a-1/train/attempts/1/log")
    assert allows(statements, "s3:GetObject", "team/cache/train/x")
    for key in ("team/runs/a-10/x", "team/runs/a-1/other/x", "runs/a-1/train/x", "team/code/x"):
        assert not allows(statements, "s3:GetObject", key)
    listing = statements[-1]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["team/runs/a-1/train/*", "team/cache/train/*"]}}


def test_a_star_in_a_name_is_no_wildcard() -> None:
    document = json.loads(lent_permissions("s3://bucket", ["runs/*/"]))
    assert document["Statement"][0]["Resource"] == ["arn:aws:s3:::bucket/runs/${*}/*"]


def test_credentials_are_lent_by_role_or_user_or_not_at_all(config: AwsConfig, cloud: MotoCloud) -> None:
    by_user = S3Access(config, STORE, {}).lend(["runs/a/"], 60)
    assert by_user and set(by_user) == {"access_key_id", "secret_access_key", "token"}
    role = config.model_copy(update={"lend_role": "arn:aws:iam::123456789012:role/lender"})
    assert S3Access(role, STORE, {}).lend(["runs/a/"], 10**6)
    assert S3Access(config, "file:///store", {}).lend(["runs/a/"], 60) is None
    assert S3Access(config, STORE, {"endpoint": "https://minio.example"}).lend(["runs/a/"], 60) is None
    assert S3Access(config, STORE, {}).lend(["x" * 3000], 60) is None
    assert (cloud.calls("GetFederationToken", "sts"), cloud.calls("AssumeRole", "sts")) == (1, 1)


def test_who_may_not_lend_does_not(config: AwsConfig, cloud: MotoCloud) -> None:
    cloud.fail("GetFederationToken", "AccessDenied", service="sts", times=1)
    access = S3Access(config, STORE, {})
    assert access.lend(["runs/a/"], 60) is None
    cloud.fail("GetFederationToken", "ServiceUnavailable", service="sts")
    with pytest.raises(StoreError, match="short-lived credentials"):
        access.lend(["runs/a/"], 60)


def test_the_documentation_shows_the_policy() -> None:
    page = (ROOT / "docs/reference/aws.md").read_text()
    shown = page.partition("```json\n")[2].partition("```")[0]
    assert json.loads(shown) == json.loads(least_permissions(AwsConfig(), "s3://my-bucket/team"))

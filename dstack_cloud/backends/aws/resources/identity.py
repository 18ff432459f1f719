"""Who machines are: an instance profile with one role that may use the project's store and nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import NO_IDENTITY, SCHEME
from dstack_cloud.backends.aws.errors import translated
from dstack_cloud.backends.aws.resources.policy import PREFIX, machine_policy, trust_policy
from dstack_cloud.backends.base.access import is_in
from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.errors import BackendError, InvalidConfiguration, Unavailable

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef

POLICY_NAME = "store"
# a role is full at one, a profile too
HAS_ITS_ROLE = "LimitExceeded"


class Identity:
    """The instance profile for each store, made when it is first needed, kept afterwards. Threads share it."""

    def __init__(self, client: AwsClient, installation: str, tags: list[TagTypeDef]) -> None:
        self._client, self._installation, self._tags = client, installation, tags
        self._made = Memory[str, str]()

    def find(self, store: str) -> str:
        """The name of the instance profile for machines that use this store; "" where they get none."""
        configured = self._client.config.instance_profile
        if configured:
            return "" if configured == NO_IDENTITY else configured
        if not is_in(store, SCHEME):
            return ""
        return self._made.get(store, lambda: self._ensure(store))

    def forget(self) -> None:
        """Looks again at the next launch: it may be gone, or its making was broken off."""
        self._made.forget()

    def partition(self) -> str:
        """ "aws", "aws-cn" or "aws-us-gov": what ARNs begin with."""
        with translated("caller"):
            return self._client.sts().get_caller_identity()["Arn"].split(":")[1]

    def _ensure(self, store: str) -> str:
        name = self.name_for(store)
        iam = self._client.iam()
        if self._is_whole(name):
            return name
        partition = self.partition()
        with _unless("EntityAlreadyExists"), translated(name):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy(partition), Tags=self._tags)
        with translated(name):
            iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=machine_policy(store, partition))
        with _unless("EntityAlreadyExists"), translated(name):
            iam.create_instance_profile(InstanceProfileName=name, Tags=self._tags)
        with _unless(HAS_ITS_ROLE), translated(name):
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def _is_whole(self, name: str) -> bool:
        """The role is put into the profile last: a profile with a role is finished."""
        found: list[object] = []
        with _unless("NoSuchEntity"), translated(name):
            profile = self._client.iam().get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            found += profile["Roles"]
        return bool(found)

    def name_for(self, store: str) -> str:
        """One for each store of an installation; 64 characters are allowed."""
        return f"{PREFIX}{self._installation[:24]}-{hashlib.sha256(store.encode()).hexdigest()[:12]}"


class _unless:  # noqa: N801 - reads as a statement
    """Lets one code of AWS's pass as success."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, BackendError) and error.cloud_code == self._code


def lack_of_identity(profile: str, configured: bool, refused: BackendError) -> BackendError:
    """A profile that was just made takes some seconds until EC2 has heard of it."""
    if configured:
        return InvalidConfiguration(
            f"there is no instance profile {profile}", "name one that exists as `instance_profile`", **refused.said
        )
    return Unavailable(f"EC2 hasn't heard of the instance profile {profile} yet", **refused.said)

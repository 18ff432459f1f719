"""Short-lived credentials for a few prefixes of the store, for machines that have no identity of AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import SCHEME, AwsConfig
from dstack_cloud.backends.aws.errors import translated
from dstack_cloud.backends.aws.resources.policy import lent_permissions
from dstack_cloud.backends.base.access import is_in, lent

SESSION = "dstack-cloud"
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html and API_AssumeRole.html
SHORTEST_SECONDS = 900
LONGEST_FEDERATION_SECONDS = 129_600
# a role that is assumed with another role's credentials lives an hour at most
LONGEST_ROLE_SECONDS = 3_600
LONGEST_POLICY = 2_048
ENDPOINT_OPTIONS = ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url")
AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


class S3Access:
    """A store on S3; satisfies `base.access.StoreAccess`."""

    def __init__(self, config: AwsConfig, url: str, options: Mapping[str, str]) -> None:
        self.url, self.options = url, options
        self._client = AwsClient(config)
        self._caller = ""

    @property
    def foreign(self) -> bool:
        """Another S3 server than AWS's knows nothing of a machine's role. Emulators are of one piece: with an `endpoint` for
        AWS, all are taken for AWS's."""
        return not self._client.config.endpoint and self._is_elsewhere()

    def credentials(self) -> Mapping[str, object]:
        """The server's own, as an obstore credential provider."""
        return self._client.credentials()

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        """None where this session can't lend any: it may not, or it is itself short-lived and no `lend_role` is configured."""
        if not is_in(self.url, SCHEME) or self._is_elsewhere():
            return None
        return lent(self.url, lambda: self._lent(prefixes, seconds, reads))

    def _lent(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str]) -> Mapping[str, str] | None:
        role = self._client.config.lend_role
        caller = self._identity()
        policy = lent_permissions(self.url, prefixes, caller.split(":")[1], reads=reads)
        if len(policy) > LONGEST_POLICY or (not role and ":user/" not in caller):
            return None
        sts = self._client.sts()
        with translated("lending the store"):
            if role:
                answer = sts.assume_role(
                    RoleArn=role,
                    RoleSessionName=SESSION,
                    Policy=policy,
                    DurationSeconds=_within(seconds, LONGEST_ROLE_SECONDS),
                )["Credentials"]
            else:
                answer = sts.get_federation_token(
                    Name=SESSION, Policy=policy, DurationSeconds=_within(seconds, LONGEST_FEDERATION_SECONDS)
                )["Credentials"]
        return {
            "access_key_id": answer["AccessKeyId"],
            "secret_access_key": answer["SecretAccessKey"],
            "token": answer["SessionToken"],
        }

    def _is_elsewhere(self) -> bool:
        """Another S3 server than that of whoever would lend knows nothing of what is lent."""
        endpoints = {value.rstrip("/") for name, value in self.options.items() if name.lower() in ENDPOINT_OPTIONS}
        others = endpoints - {self._client.config.endpoint}
        return any(not (urlsplit(each).hostname or "").endswith(AMAZON) for each in others)

    def _identity(self) -> str:
        if not self._caller:
            with translated("caller"):
                self._caller = self._client.sts().get_caller_identity()["Arn"]
        return self._caller


def store_access(config: AwsConfig, url: str, options: Mapping[str, str]) -> S3Access:
    """What `options` leave out comes from the settings: the region, an emulator's endpoint."""
    known = {"region": config.regions[0]} if config.regions else {}
    if config.endpoint:
        known |= {"endpoint": config.endpoint}
    merged = {**known, **options}
    if merged.get("endpoint", "").startswith("http://"):
        merged.setdefault("allow_http", "true")
    return S3Access(config, url, merged)


def _within(seconds: int, longest: int) -> int:
    return max(SHORTEST_SECONDS, min(seconds, longest))

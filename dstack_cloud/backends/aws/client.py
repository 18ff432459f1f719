"""AWS's services of one project: sessions by profile, a client a region, and calls at a pace that AWS bears.

boto3 is imported by the first call, not before: a project without AWS doesn't pay for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.errors import THROTTLING, translated
from dstack_cloud.backends.base.login_files import LoginFiles
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized, Throttled

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_iam import IAMClient
    from types_boto3_pricing import PricingClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_ssm import SSMClient
    from types_boto3_sts import STSClient

INSTALL = "pip install 'dstack-cloud[aws]'"
CONNECT_SECONDS = 5
READ_SECONDS = 30
# Calls to EC2 that may begin within any second in one region, of all kinds and of one kind. An account may send some 2
# RunInstances a second in the long run, 20 to 100 other calls; other programs of the account need theirs too.
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
CALLS_A_SECOND = 4
LAUNCHES_A_SECOND = 3
LAUNCH = "RunInstances"
# a call that must wait longer is given back to be asked again
PATIENCE_SECONDS = 20.0
SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 32.0
# where the price list can be asked: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
PRICING_REGION = "us-east-1"
GLOBAL_REGION = "us-east-1"
# botocore renews what expires more than ten minutes before it does
CREDENTIALS_SECONDS = 600


class Pace:
    """How often EC2 may be called in one region. Threads share it."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._calls: deque[float] = deque(maxlen=CALLS_A_SECOND)
        self._launches: deque[float] = deque(maxlen=LAUNCHES_A_SECOND)
        self._paused_until = 0.0
        self._pause = SHORTEST_PAUSE_SECONDS

    def wait(self, operation: str) -> None:
        """Returns when it is this call's turn. Raises Throttled where that takes too long."""
        deadline = self._clock() + PATIENCE_SECONDS
        while (delay := self._take(operation)) > 0:
            if self._clock() + delay > deadline:
                raise Throttled("too many calls to EC2 wait for their turn", cloud_code=operation)
            self._sleep(delay)

    @property
    def recent(self) -> tuple[float, ...]:
        """When the last few calls began, by the clock."""
        return tuple(self._calls)

    def throttled(self) -> None:
        """AWS says that it is too much: nobody calls for a while, longer each time."""
        with self._lock:
            now = self._clock()
            if now < self._paused_until:
                return  # this call began before the pause
            calm = now > self._paused_until + LONGEST_PAUSE_SECONDS
            self._pause = SHORTEST_PAUSE_SECONDS if calm else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._paused_until = now + self._pause

    def _take(self, operation: str) -> float:
        """0 where the call may begin now, else the seconds until it is worth asking again."""
        lists = [self._calls, self._launches] if operation == LAUNCH else [self._calls]
        with self._lock:
            now = self._clock()
            ready = max([self._paused_until, *(starts[0] + 1.0 for starts in lists if len(starts) == starts.maxlen)])
            if ready > now:
                return ready - now
            for starts in lists:
                starts.append(now)
            return 0.0


class AwsClient:
    """The clients of one project's settings, made when they are first needed. Threads share them."""

    def __init__(self, config: AwsConfig) -> None:
        self.config = config
        self._lock = threading.RLock()
        self._files = LoginFiles(_login_files())
        self._session: boto3.Session | None = None
        self._clients: dict[tuple[str, str, bool], object] = {}
        self._paces: dict[str, Pace] = {}

    @property
    def regions(self) -> tuple[str, ...]:
        """Raises InvalidConfiguration where neither the project nor its profile names one."""
        if self.config.regions:
            return self.config.regions
        region = self.session().region_name
        if not region:
            raise InvalidConfiguration("no AWS region is named", "set `regions` in the project's `aws` settings")
        return (region,)

    def session(self) -> boto3.Session:
        """Of the login that the files hold now."""
        with self._lock:
            if self._files.changed():
                self._session = None
                self._clients.clear()
            if self._session is None:
                self._session = _session(self.config.profile)
            return self._session

    def ec2(self, region: str, *, retries: bool = True) -> EC2Client:
        """Without `retries`, what AWS refuses is told at once: it answers a lack of capacity with status 500, which would be
        asked again."""
        return cast("EC2Client", self._client("ec2", region, retries=retries))

    def ssm(self, region: str) -> SSMClient:
        return cast("SSMClient", self._client("ssm", region))

    def iam(self) -> IAMClient:
        return cast("IAMClient", self._client("iam", GLOBAL_REGION))

    def sts(self) -> STSClient:
        return cast("STSClient", self._client("sts", self.regions[0]))

    def pricing(self) -> PricingClient:
        return cast("PricingClient", self._client("pricing", PRICING_REGION, retries=not self.config.endpoint))

    def quotas(self, region: str) -> ServiceQuotasClient:
        return cast("ServiceQuotasClient", self._client("service-quotas", region, retries=not self.config.endpoint))

    def pace(self, region: str) -> Pace:
        with self._lock:
            return self._paces.setdefault(region, Pace())

    def credentials(self) -> Mapping[str, Any]:
        """An obstore credential provider: what this session signs with, now. Raises NotAuthorized."""
        with translated("credentials"):
            found = self.session().get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise NotAuthorized("there are no AWS credentials in ~/.aws", "`aws configure`, or name a `profile`")
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            # keys without an end, too, may be others by then
            "expires_at": datetime.now(timezone.utc) + timedelta(seconds=CREDENTIALS_SECONDS),
        }

    def _client(self, service: str, region: str, *, retries: bool = True) -> object:
        key = (service, region, retries)
        # a session isn't safe to make clients from in several threads, clients are safe to use
        with self._lock:
            session = self.session()
            if key not in self._clients:
                self._clients[key] = self._made(session, *key)
            return self._clients[key]

    def _made(self, session: Any, service: str, region: str, retries: bool) -> object:  # noqa: ANN401 - boto3.Session
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3 if retries else 1},
            max_pool_connections=32,
            user_agent_extra="dstack-cloud",
        )
        with translated(region):
            made = session.client(service, region_name=region, endpoint_url=self.config.endpoint or None, config=config)
        if service == "ec2":
            _keep_pace(made, self.pace(region))
        return made


def store_credentials(config: AwsConfig) -> Callable[[], Mapping[str, Any]]:
    """A credential provider for an S3 store, from the project's profile; nothing is imported or read before its first call."""
    return AwsClient(config).credentials


def known_regions() -> list[str]:
    """Those that the installed SDK has heard of; none where there is no SDK. Asks nobody."""
    try:
        import boto3
    except ModuleNotFoundError:
        return []
    session = boto3.Session(aws_access_key_id="", aws_secret_access_key="")
    return [
        region for part in session.get_available_partitions() for region in session.get_available_regions("ec2", part)
    ]


def _login_files() -> list[Path]:
    """https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html; what `aws sso login` writes botocore reads itself."""
    places = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
    return [Path(os.environ.get(name) or place) for name, place in places]


def _session(profile: str) -> boto3.Session:
    try:
        import boto3
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise InvalidConfiguration("the AWS backend needs boto3, which isn't installed", INSTALL) from None
    with translated(f"profile {profile}" if profile else "the default profile"):
        return boto3.Session(profile_name=profile or None)


def _keep_pace(client: BaseClient, pace: Pace) -> None:
    """Every request counts, the SDK's own retries and pages too. Before it is signed: a signature is good for minutes only."""

    def before(operation_name: str, **_: object) -> None:
        pace.wait(operation_name)

    def after(parsed_response: Mapping[str, Any] | None = None, **_: object) -> None:
        if ((parsed_response or {}).get("Error") or {}).get("Code") in THROTTLING:
            pace.throttled()

    client.meta.events.register_first("request-created.ec2", before)
    client.meta.events.register("response-received.ec2", after)

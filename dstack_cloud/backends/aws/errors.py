"""AWS's refusals in the terms of every backend; the only place that looks at botocore's exceptions.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and each service's own "common errors".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dstack_cloud.backends.base.refusals import Entry, entries, first_line
from dstack_cloud.errors import (
    BackendError,
    InvalidConfiguration,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

LOG_IN = "log in again (`aws sso login`, or new keys in ~/.aws), with the profile that the project names"
ASK_FOR_PERMISSIONS = "`dstack config permissions aws` prints the least policy that works"
ASK_FOR_QUOTA = "ask for more at https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"
ENABLE = (
    "enable the region for the account (https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html)"
)
SPOT_ROLE = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
CLOCK = "this computer's clock must be right to within five minutes"

KNOWN: dict[str, Entry] = {
    **entries(
        NoCapacity, "no capacity", "",
        "InsufficientInstanceCapacity", "UnfulfillableCapacity", "InsufficientHostCapacity", "InsufficientCapacity",
        "InsufficientReservedInstanceCapacity", "InsufficientAddressCapacity",
    ),
    **entries(NoCapacity, "the spot price is above the highest allowed", "", "SpotMaxPriceTooLow"),
    **entries(NoCapacity, "the zone doesn't have this instance type", "", "Unsupported"),
    **entries(NoCapacity, "the subnet has no free address", "", "InsufficientFreeAddressesInSubnet"),
    **entries(NoCapacity, "the machine of this launch ended before", "", "IdempotentInstanceTerminated"),
    **entries(
        QuotaExceeded, "the account's quota is used up", ASK_FOR_QUOTA,
        "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded",
        "AddressLimitExceeded", "NetworkInterfaceLimitExceeded", "SecurityGroupLimitExceeded", "SecurityGroupsPerVpcLimitExceeded",
        "RulesPerSecurityGroupLimitExceeded", "ResourceLimitExceeded", "LimitExceeded", "LimitExceededException",
    ),
    **entries(NotAuthorized, "the credentials have expired", LOG_IN, "ExpiredToken", "ExpiredTokenException"),
    **entries(NotAuthorized, "the credentials have expired, or a clock is wrong", f"{LOG_IN}; {CLOCK}", "RequestExpired"),
    **entries(
        NotAuthorized, "the signature's time is wrong", CLOCK,
        "RequestTimeTooSkewed", "RequestInTheFuture", "InvalidSignatureException",
    ),
    **entries(
        NotAuthorized, "AWS doesn't know the access key, or its secret is wrong", LOG_IN,
        "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch",
        "MissingAuthenticationToken", "IncompleteSignature", "InvalidToken",
    ),
    **entries(
        NotAuthorized, "AWS doesn't accept the credentials there",
        f"if they work elsewhere: {ENABLE}; else {LOG_IN}", "AuthFailure",
    ),
    **entries(NotAuthorized, "the region isn't enabled for the account", ENABLE, "OptInRequired", "RegionDisabledException"),
    **entries(
        NotAuthorized, "the account's first spot machine needs a role that these credentials may not make", SPOT_ROLE,
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    ),
    **entries(NotAuthorized, "AWS has blocked the account", "ask AWS's support", "Blocked", "PendingVerification"),
    **entries(
        Throttled, "too many calls", "",
        "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "EC2ThrottledException",
        "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete",
    ),
    **entries(
        Unavailable, "AWS failed", "",
        "InternalError", "InternalFailure", "InternalServerError", "InternalServiceException", "ServerInternal",
        "ServiceUnavailable", "Unavailable", "ServiceException",
    ),
    **entries(
        InvalidConfiguration, "there is no default VPC", "make one (`aws ec2 create-default-vpc`), or set `subnets`",
        "VPCIdNotSpecified", "DefaultVpcDoesNotExist",
    ),
    **entries(
        InvalidConfiguration, "there is no such image there", "set `images` to ids or parameters of every region in `regions`",
        "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed", "ParameterNotFound",
    ),
}  # fmt: skip
MISSING_PERMISSION = (
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "NotAuthorized",
)
# what a login, a role or a program named in ~/.aws couldn't give
NO_LOGIN = {
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "SSOError",
    "LoginError",
    "TokenRetrievalError",
    "InvalidConfigError",
    "RefreshWithMFAUnsupportedError",
}
BROKEN = {"ConnectionError", "HTTPClientError", "ResponseParserError", "ResponseStreamingError", "IncompleteReadError"}
# what one region lacks, another may have
REGIONAL = frozenset(
    {"AuthFailure", "OptInRequired", "RegionDisabledException", "VPCIdNotSpecified", "DefaultVpcDoesNotExist"}
)
NO_PROFILE = ("InvalidParameterValue", "NoSuchEntity")
THROTTLING = frozenset(code for code, (kind, _, _) in KNOWN.items() if kind is Throttled)

_ACTION = re.compile(r"perform: ([a-z0-9-]+:[A-Za-z]+)")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns what botocore raises inside into a BackendError; `where` is the region, zone and type that were asked."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise refusal(error, where) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise _broken(error, where) from error


def refusal(error: ClientError, where: str) -> BackendError:
    """The error for an answer of AWS. Its own code and message are kept."""
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind, what, hint = _meaning(code, message, status, error.operation_name)
    scope = "region" if code in REGIONAL else ""
    return kind(f"{what} ({code}, {where})", hint or None, cloud_code=code, cloud_message=message, scope=scope)


def _meaning(code: str, message: str, status: int, operation: str) -> Entry:
    if code in KNOWN:
        return KNOWN[code]
    if code in MISSING_PERMISSION or status == 403:
        found = _ACTION.search(message)
        return NotAuthorized, f"the permission {found[1] if found else operation} is missing", ASK_FOR_PERMISSIONS
    if status >= 500 or status == 0:
        return Unavailable, "AWS failed", ""
    return InvalidConfiguration, f"AWS refused: {first_line(message)}", ""


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) or "unknown"


def _broken(error: BotoCoreError | ResponseParserError, where: str) -> BackendError:
    """No answer came, or nothing could be asked. A connection that broke may have had its effect."""
    name, text = type(error).__name__, str(error)
    # by name: older releases lack some of these classes
    names = {kind.__name__ for kind in type(error).__mro__}
    words = {"cloud_code": name, "cloud_message": text}
    if "ProfileNotFound" in names:
        return InvalidConfiguration(text, "name a profile of ~/.aws/config or ~/.aws/credentials as `profile`", **words)
    if "NoCredentialsError" in names:
        return NotAuthorized("there are no AWS credentials in ~/.aws", "`aws configure`, or name a `profile`", **words)
    if NO_LOGIN & names:
        return NotAuthorized(f"the AWS credentials can't be used: {text}", LOG_IN, **words)
    if BROKEN & names:
        return Unavailable(f"no answer from AWS ({name}, {where}): {text}", **words)
    return InvalidConfiguration(f"AWS can't be asked ({name}, {where}): {text}", **words)


def is_about_identity(refused: BackendError) -> bool:
    """Whether the machine's identity is what isn't there."""
    return refused.cloud_code in NO_PROFILE and "profile" in refused.cloud_message.lower()

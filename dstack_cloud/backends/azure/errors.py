"""Azure's refusals in the terms of every backend; the only place that looks at azure-core's exceptions.

Codes: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and
https://learn.microsoft.com/azure/virtual-machines/error-codes-spot
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
    from azure.core.exceptions import AzureError, HttpResponseError

INSTALL = "pip install 'dstack-cloud[azure]'"
LOG_IN = "log in again (`az login`), or renew what `service_principal` names"
ASK_FOR_PERMISSIONS = "`dstack config permissions azure` prints the least role that works"
LIST_REGIONS = "`az account list-locations -o table` shows them"
ASK_FOR_QUOTA = "ask for more at https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"
SUBSCRIPTION = "`az account list -o table` shows those of your login: name one as `subscription`"
REACTIVATE = "reactivate it (https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-disabled)"
OWN_IMAGES = "set `images` to what every region in `regions` has"
NO_SUCH_IDENTITY = "FailedIdentityOperation"

KNOWN: dict[str, Entry] = {
    **entries(
        NoCapacity, "no capacity", "",
        "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest", "AllocationTimeout", "SpotAllocationFailed",
    ),
    **entries(NoCapacity, "the place doesn't have this size, or none is left for this subscription", "", "SkuNotAvailable"),
    **entries(
        NoCapacity, "the place doesn't have such a machine", "",
        "AzureSpotIsNotSupportedForThisVMSize", "LocationNotSupportAvailabilityZones", "AvailabilityZoneNotSupported",
    ),
    **entries(NoCapacity, "the spot price is above the highest allowed", "", "SpotPriceGreaterThanProvidedMaxPrice"),
    **entries(NoCapacity, "the machine was evicted while it was made", "", "VMEvicted"),
    **entries(NoCapacity, "a disk of an earlier try is still there", "", "ConflictingUserInput"),
    **entries(
        QuotaExceeded, "the subscription's quota is used up", ASK_FOR_QUOTA,
        "QuotaExceeded", "PublicIPCountLimitReached", "StaticPublicIPCountLimitReached", "ResourceQuotaExceeded",
        "NetworkInterfaceCountLimitReached", "MaxStorageAccountsCountPerSubscriptionExceeded", "ResourceGroupQuotaExceeded",
        "PublicIPCountLimitExceeded",
    ),
    **entries(
        QuotaExceeded, "the subscription has no spot machines", "`spot_policy: on-demand`, or another kind of subscription",
        "AzureSpotFeatureNotEnabledForSubscription",
    ),
    **entries(
        NotAuthorized, "the login has expired", LOG_IN,
        "ExpiredAuthenticationToken", "InvalidAuthenticationToken", "AuthenticationFailed",
        "AuthenticationFailedInvalidHeader", "InvalidAuthenticationTokenLifetime",
    ),
    **entries(
        NotAuthorized, "the login is of another tenant", "name the subscription's `tenant`, or `az login --tenant …`",
        "InvalidAuthenticationTokenTenant",
    ),
    **entries(
        NotAuthorized, "the subscription isn't there, or this login can't see it", SUBSCRIPTION,
        "SubscriptionNotFound", "InvalidSubscriptionId",
    ),
    **entries(
        NotAuthorized, "the subscription is read-only: it is disabled, or its credit is used up", REACTIVATE,
        "ReadOnlyDisabledSubscription", "DisabledSubscription", "SubscriptionDisabled", "SubscriptionNotActive",
    ),
    **entries(
        NotAuthorized, "a policy of the organisation forbids it", "ask who manages the subscription's policies",
        "RequestDisallowedByPolicy", "RequestDisallowedByAzure",
    ),
    **entries(
        NotAuthorized, "a lock forbids it", "remove the lock from the resource group, or name another as `resource_group`",
        "ScopeLocked",
    ),
    **entries(
        Throttled, "too many calls", "",
        "TooManyRequests", "SubscriptionRequestsThrottled", "OperationsThrottled", "ResourceRequestsThrottled",
        "RequestThrottled", "ResourceCollectionRequestsThrottled",
    ),
    **entries(
        Unavailable, "Azure failed", "",
        "InternalServerError", "InternalExecutionError", "InternalOperationError", "InternalError", "ServerTimeout",
        "ServiceUnavailable", "GatewayTimeout", "ServerBusy", "RetryableError", "RetryableErrorDueToAnotherOperation",
        "OperationTimedOut", "NetworkingInternalOperationError", "VMStartTimedOut",
    ),
    **entries(
        Unavailable, "something else is being done to it", "",
        "AnotherOperationInProgress", "Conflict", "NicReservedForAnotherVm", "AttachDiskWhileBeingDetached",
        "CanceledAndSupersededDueToAnotherOperation", "OperationPreempted", "ResourceGroupBeingDeleted", "NicInUse",
        "ReferencedResourceNotProvisioned", "PublicIPAddressCannotBeDeleted", "InUseNetworkSecurityGroupCannotBeDeleted",
        "ConcurrentUpdateError", "DiskIsBeingDetached",
    ),
    # what was just made isn't known everywhere yet: https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
    **entries(Unavailable, "Azure hasn't heard of the identity yet", "", "PrincipalNotFound", NO_SUCH_IDENTITY),
    **entries(Unavailable, "Azure hasn't heard of the machines' role yet", "", "RoleDefinitionDoesNotExist"),
    **entries(
        InvalidConfiguration, "there is no such image there", OWN_IMAGES,
        "PlatformImageNotFound", "ImageNotFound", "ArtifactNotFound", "GalleryImageNotFound",
    ),
    **entries(
        InvalidConfiguration, "the image's terms aren't accepted", "`az vm image terms accept --urn …`, or other `images`",
        "MarketplacePurchaseEligibilityFailed", "ResourcePurchaseValidationFailed", "VMMarketplaceInvalidInput",
    ),
    **entries(
        InvalidConfiguration, "the resource group is in another region", "name another `resource_group`",
        "InvalidResourceGroupLocation",
    ),
    **entries(
        InvalidConfiguration, "there is no such region, or not for this subscription",
        LIST_REGIONS,
        "LocationNotAvailableForResourceType", "InvalidLocation", "LocationNotSupported", "LocationNotFound",
    ),
}  # fmt: skip
# the condition of a request isn't met: what it was to make is there
EXISTS = "PreconditionFailed"
POLICIES = frozenset({"RequestDisallowedByPolicy", "RequestDisallowedByAzure"})
MISSING_PERMISSION = ("AuthorizationFailed", "LinkedAuthorizationFailed", "LinkedAccessCheckFailed", "Forbidden")
UNREGISTERED = ("MissingSubscriptionRegistration", "SubscriptionNotRegistered", "MissingRegistrationForLocation")
NOT_FOUND = ("ResourceNotFound", "NotFound", "ResourceGroupNotFound", "ParentResourceNotFound")
# what one region lacks, another may have
REGIONAL = frozenset(
    {"LocationNotAvailableForResourceType", "LocationNotFound", "InvalidLocation", "LocationNotSupported"}
    | {"PlatformImageNotFound", "ImageNotFound", "ArtifactNotFound", "InvalidResourceGroupLocation", "ScopeLocked"}
    | POLICIES
)
# the code says nothing; what is meant stands in the text
# https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota
ABOUT_QUOTA = re.compile(r"quota|limits?\b.*(cores|vcpu)|(cores|vcpu).*\blimit", re.IGNORECASE | re.DOTALL)
ABOUT_SPOT = re.compile(r"does not support spot|spot .*not (available|supported)|offer.*spot", re.IGNORECASE)
ABOUT_FAMILY = re.compile("family", re.IGNORECASE)
ABOUT_END = re.compile(r"marked for deletion|being deleted", re.IGNORECASE)
# one size that can't be had, or not with this image, says nothing of the others
ABOUT_SIZE = re.compile(
    r"\bvm ?size\b|virtual machine size|hypervisor generation|security type|disk ?controller|\bsize skus?\b",
    re.IGNORECASE,
)
ABOUT_DISK = re.compile(r"disk size .* smaller than", re.IGNORECASE | re.DOTALL)
# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
ENTRAS = "AADSTS"
# how azure-identity begins to tell what each of several logins says
SEVERAL = "Attempted credentials:"
_ACTION = re.compile(r"perform action\(?s?\)? '([^']+)'")
_NAMESPACE = re.compile(r"namespace '([\w.]+)'|(Microsoft\.\w+)")


@contextmanager
def imported() -> Iterator[None]:
    """Says what to install where Azure's SDK isn't there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "azure":
            raise
        raise InvalidConfiguration("the Azure backend needs Azure's SDK, which isn't installed", INSTALL) from None


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns what Azure's SDK raises inside into a BackendError; `where` is the region and what was asked for."""
    with imported():
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
    try:
        yield
    except HttpResponseError as error:
        if isinstance(error, ClientAuthenticationError) and error.response is None:
            raise _no_login(error) from error
        raise refusal(error, where) from error
    except AzureError as error:
        raise _broken(error, where) from error


def refusal(error: HttpResponseError, where: str) -> BackendError:
    """The error for an answer of Azure. Its own code and message are kept."""
    told = getattr(error, "error", None)
    code = str(getattr(told, "code", "") or "")
    message = str(getattr(told, "message", "") or error.message or "")
    if error.status_code == 412:
        # whatever a service calls it
        code = EXISTS
    return explained(code, message, where, int(error.status_code or 0))


def failure(told: Mapping[str, Any], where: str) -> BackendError:
    """The error for what the end of a long-running operation, or a machine's state, says: {"code", "message", "details"?}."""
    details = [each for each in told.get("details") or [] if isinstance(each, dict)]
    # the outer one may only say that something failed
    inner = next((each for each in details if each.get("code") in KNOWN), None)
    code = str(told.get("code") or "")
    if inner is not None and code not in KNOWN:
        return failure(inner, where)
    return explained(code, str(told.get("message") or ""), where, 200)


def explained(code: str, message: str, where: str, status: int) -> BackendError:
    kind, what, hint = _meaning(code, message, status)
    scope = _scope(kind, code, message)
    shown = code or (f"status {status}" if status else "unknown")
    return kind(f"{what} ({shown}, {where})", hint or None, cloud_code=code, cloud_message=message, scope=scope)


def _scope(kind: type[BackendError], code: str, message: str) -> str:
    """Cores are counted by families of sizes, and the names of families say it."""
    if kind is QuotaExceeded and ABOUT_FAMILY.search(message):
        return "type"
    return "region" if code in REGIONAL else ""


def is_missing(error: BackendError) -> bool:
    """Whether Azure says that the thing asked after isn't there."""
    return error.cloud_code in NOT_FOUND


def _meaning(code: str, message: str, status: int) -> Entry:
    if code in POLICIES and ABOUT_SIZE.search(message):
        return NoCapacity, "a policy of the organisation forbids this size", ""
    if code in KNOWN:
        return KNOWN[code]
    if code == "OperationNotAllowed":
        return _not_allowed(message)
    if code in UNREGISTERED:
        found = _NAMESPACE.search(message)
        name = (found[1] or found[2]) if found else "Microsoft.Compute"
        return InvalidConfiguration, f"the resource provider {name} isn't registered", f"az provider register -n {name}"
    if code in MISSING_PERMISSION or status == 403:
        found = _ACTION.search(message)
        return NotAuthorized, f"the permission {found[1] if found else 'for this'} is missing", ASK_FOR_PERMISSIONS
    if status == 401:
        return NotAuthorized, "Azure doesn't accept the login", LOG_IN
    if status == 429:
        return Throttled, "too many calls", ""
    if status >= 500 or status == 0 or status == 408:
        return Unavailable, "Azure failed", ""
    return _wrong(message)


def _wrong(message: str) -> Entry:
    if ABOUT_SIZE.search(message):
        return NoCapacity, f"this size can't be had so: {first_line(message)}", ""
    hint = "set `disk` to what your image needs at least" if ABOUT_DISK.search(message) else ""
    return InvalidConfiguration, f"Azure refused: {first_line(message)}", hint


def _not_allowed(message: str) -> Entry:
    if ABOUT_SPOT.search(message):
        return NoCapacity, "there are no spot machines of this size", ""
    if ABOUT_QUOTA.search(message):
        return QuotaExceeded, "the subscription's quota is used up", ASK_FOR_QUOTA
    if ABOUT_END.search(message):
        return Unavailable, "it is being deleted", ""
    return _wrong(message)


def _no_login(error: HttpResponseError) -> BackendError:
    """No token could be got: nothing was asked yet."""
    name, text = type(error).__name__, str(error.message or error)
    words = {"cloud_code": name, "cloud_message": text}
    # where several were tried, each has a line of its own: what Entra ID refused is more than what isn't there
    refused = next((line.strip() for line in text.splitlines() if ENTRAS in line), "")
    if not refused and (name == "CredentialUnavailableError" or SEVERAL in text):
        return NotAuthorized("there is no login for Azure", "`az login`, or name a `service_principal`", **words)
    return NotAuthorized(f"the login for Azure can't be used: {first_line(refused or text)}", LOG_IN, **words)


def _broken(error: AzureError, where: str) -> BackendError:
    """No answer came, or none that can be read. What was asked for may have happened."""
    name, text = type(error).__name__, str(error.message or error)
    words = {"cloud_code": name, "cloud_message": text}
    return Unavailable(f"no answer from Azure ({name}, {where}): {first_line(text)}", **words)


def is_about_identity(refused: BackendError) -> bool:
    """Whether the machine's identity is what isn't there."""
    return refused.cloud_code == NO_SUCH_IDENTITY

"""Google Cloud's refusals in the terms of every backend; the only place that looks at the SDK's exceptions.

Codes: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation,
https://cloud.google.com/compute/docs/resource-error, https://cloud.google.com/compute/docs/api/troubleshooting (the reasons of
what is refused at once), and google.rpc.ErrorInfo's: https://cloud.google.com/apis/design/errors#error_info
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

INSTALL = "pip install 'dstack-cloud[gcp]'"
LOG_IN = "log in again (`gcloud auth application-default login`), or name a service account's key file as `credentials`"
ASK_FOR_PERMISSIONS = "`dstack config permissions gcp` prints the least role that works"
ASK_FOR_QUOTA = "ask for more at https://console.cloud.google.com/iam-admin/quotas"
NAME_PROJECT = "set `project` in the project's `gcp` settings (`gcloud projects list` shows them)"
POLICY = "ask who keeps the organization's policies, or choose `regions`, `public_ip` or `images` that it allows"
ALL_REGIONS = "no region has GPUs for the project until it has more of this quota: "

KNOWN: dict[str, Entry] = {
    **entries(
        NoCapacity, "no capacity", "",
        "ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "RESOURCE_POOL_EXHAUSTED", "STOCKOUT",
        "insufficientCapacity",
    ),
    **entries(NoCapacity, "the zone doesn't have this machine type or GPU", "", "UNSUPPORTED_OPERATION"),
    **entries(NoCapacity, "the subnet has no free address", "", "IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS"),
    **entries(QuotaExceeded, "the project's quota is used up", ASK_FOR_QUOTA, "QUOTA_EXCEEDED", "quotaExceeded", "LIMIT_EXCEEDED"),
    **entries(
        NotAuthorized, "the credentials have expired, or aren't Google Cloud's", LOG_IN,
        "authError", "required", "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "CREDENTIALS_MISSING", "invalid_grant", "unauthorized_client", "invalid_client", "deleted_client",
    ),
    **entries(
        NotAuthorized, "the permission iam.serviceAccounts.actAs is missing",
        "the machine's service account must be usable by these credentials (role roles/iam.serviceAccountUser on it)",
        "SERVICE_ACCOUNT_ACCESS_DENIED", "serviceAccountAccessDenied",
    ),
    **entries(
        NotAuthorized, "the machine's service account isn't known yet, or not any more", "", "SERVICE_ACCOUNT_NOT_FOUND",
    ),
    **entries(
        Throttled, "too many calls", "",
        "RESOURCE_OPERATION_RATE_EXCEEDED", "RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded",
        "tooManyRequests", "resourceOperationRateExceeded", "concurrentPolicyChanges",
    ),
    **entries(
        Unavailable, "Google Cloud failed", "",
        "INTERNAL_ERROR", "internalError", "backendError", "unavailable", "UNAVAILABLE", "EXTERNAL_RESOURCE_NOT_FOUND",
    ),
    **entries(
        Unavailable, "something else is being done to it", "",
        "RESOURCE_NOT_READY", "resourceNotReady", "resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
        "conditionNotMet", "CONDITION_NOT_MET",
    ),
}  # fmt: skip
API_DISABLED = ("SERVICE_DISABLED", "accessNotConfigured")
BILLING_DISABLED = (
    *("BILLING_DISABLED", "billingNotEnabled", "BILLING_NOT_ENABLED", "UREQ_PROJECT_BILLING_NOT_FOUND"),
    *("billingDisabled", "accountDisabled", "accountDelinquent", "UREQ_PROJECT_BILLING_NOT_OPEN"),
)
MISSING_PERMISSION = ("IAM_PERMISSION_DENIED", "PERMISSIONS_ERROR", "PERMISSION_DENIED", "forbidden", "accessDenied")
NOT_FOUND = ("notFound", "RESOURCE_NOT_FOUND", "NOT_FOUND")
TAKEN = ("alreadyExists", "RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")
REMOVED = ("USER_PROJECT_DENIED", "CONSUMER_INVALID", "PROJECT_DELETED", "RESOURCE_PROJECT_INVALID", "unknownProject")
# an error in text, which neither status nor reason tells apart
NO_PROJECT = re.compile(r"Failed to find project|[Pp]roject '?[\w:.-]+'? (?:not found|was not found|has been deleted)")
POLICY_FORBIDS = re.compile(r"[Cc]onstraint '?(constraints/[\w./]+)|organization policy|Violates constraint")
# a policy about places says nothing about the others: https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations
LOCATIONS = "constraints/gcp.resourceLocations"
PERMISSION = re.compile(
    r"(?:Required )?['\"]?([a-z]+\.[A-Za-z]+\.[A-Za-z]+)['\"]? permission|Permission ['\"]?([\w.]+)['\"]? denied"
)
QUOTA = re.compile(r"[Qq]uota '([A-Z0-9_]+)' exceeded")
# CPUs of one family of types: https://cloud.google.com/compute/resource-usage#cpu_quota
FAMILY_QUOTA = re.compile(r"[Qq]uota '(?:PREEMPTIBLE_)?(?:[A-Z]\d+[A-Z]?_CPUS|CPUS_PER_VM_FAMILY)' exceeded")
A_TYPE = re.compile(r"(?:machineTypes|acceleratorTypes)/[\w.-]+|acceleratorType|machineType|[Mm]achine type", re.ASCII)
# what was found or made here before and isn't there any more
VANISHED = re.compile(
    r"(?:networks|subnetworks|firewalls)/[\w.-]+' (?:was )?not found|resource\.networkInterfaces.*does not exist"
)
# what can't be had together in this zone, of this type, or in this way: another offer may do
UNFIT = re.compile(
    r"features are not compatible|not available for|do(?:es)? not support|can only be created as"
    r"|diskTypes?/|diskType\b|[Ss]cheduling|onHostMaintenance|provisioningModel"
)
ABOUT_ACCOUNT = re.compile(r"[Ss]ervice ?[Aa]ccount.*(?:not found|does not exist|doesn't exist|not exist)")
API = re.compile(r"\b([a-z]+\.googleapis\.com)\b")


def check_installed() -> None:
    """Raises InvalidConfiguration where the SDK isn't there."""
    try:
        found = importlib.util.find_spec("google.cloud.compute_v1")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise InvalidConfiguration("the GCP backend needs google-cloud-compute, which isn't installed", INSTALL)


class Said(NamedTuple):
    """What Google Cloud answered. `status` is HTTP's, also of an operation; `facts` is what ErrorInfo has beside its reason."""

    code: str
    message: str
    status: int = 0
    facts: Mapping[str, str] = {}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns what the SDK raises inside into a BackendError; `where` is the place and type that were asked."""
    check_installed()
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        raise refusal(said_by(error), where) from error
    except RetryError as error:
        cause = error.cause
        known = said_by(cause) if isinstance(cause, GoogleAPICallError) else Said("unavailable", str(cause))
        raise refusal(known, where) from error
    except GoogleAuthError as error:
        raise _no_login(error, where) from error
    except RequestException as error:
        # a connection that broke may have had its effect
        name = type(error).__name__
        raise Unavailable(
            f"no answer from Google Cloud ({name}, {where})", cloud_code=name, cloud_message=str(error)
        ) from error


def said_by(error: GoogleAPICallError) -> Said:
    """The most precise of the names that an answer gives its error."""
    known: list[Any] = [each for each in error.errors if isinstance(each, dict)]
    reason = error.reason or next((str(each["reason"]) for each in known if each.get("reason")), "")
    message = str(error.message or "")
    # what the library puts before Google's own words
    own = re.sub(r"^[A-Z]+ https?://\S+: ", "", message)
    return Said(reason or _by_status(int(error.code or 0)), own, int(error.code or 0), dict(error.metadata or {}))


def passes(error: Exception) -> bool:
    """Whether a question that changes nothing may be answered when it is asked again. Compute Engine says also by 403 that there
    were too many calls: https://cloud.google.com/compute/docs/api/best-practices#rate-limits"""
    from google.api_core.exceptions import GoogleAPICallError

    return isinstance(error, GoogleAPICallError) and refusal(said_by(error), "").retryable


def refusal(said: Said, where: str) -> BackendError:
    """The error for an answer, or for an operation that failed. Google's own code and message are kept."""
    kind, what, hint = _meaning(said)
    words = {"cloud_code": said.code, "cloud_message": said.message}
    scope = "region" if LOCATIONS in said.message else "type" if FAMILY_QUOTA.search(said.message) else ""
    return kind(f"{what} ({said.code}, {where})", hint or None, scope=scope, **words)


def _meaning(said: Said) -> Entry:
    if said.code in API_DISABLED:
        return _disabled_api(said)
    if said.code in BILLING_DISABLED or ("billing" in said.message.lower() and said.status == 403):
        return (
            InvalidConfiguration,
            "billing is disabled for the project",
            "link a billing account (`gcloud billing projects link PROJECT --billing-account=ACCOUNT`)",
        )
    if found := POLICY_FORBIDS.search(said.message):
        return InvalidConfiguration, f"the organization's policy {found[1] or ''}".strip() + " forbids it", POLICY
    if said.code in REMOVED or NO_PROJECT.search(said.message):
        return InvalidConfiguration, "there is no such project for these credentials", NAME_PROJECT
    if said.code in NOT_FOUND or said.status == 404:
        return _missing(said)
    if said.code in ("QUOTA_EXCEEDED", "quotaExceeded"):
        return _quota(said)
    if said.code in KNOWN:
        return KNOWN[said.code]
    return _by_kind(said)


def _by_kind(said: Said) -> Entry:
    """What has no entry of its own."""
    if said.code in TAKEN or said.status == 409:
        return Unavailable, "there is something of that name already", ""
    if said.code in MISSING_PERMISSION or said.status == 403:
        found = PERMISSION.search(said.message)
        named = said.facts.get("permission") or (found[1] or found[2] if found else "")
        text = f"the permission {named} is missing" if named else f"not allowed: {first_line(said.message)}"
        return NotAuthorized, text, ASK_FOR_PERMISSIONS
    if said.status == 401:
        return NotAuthorized, "the credentials aren't accepted", LOG_IN
    if said.status == 429:
        return Throttled, "too many calls", ""
    if said.status >= 500 or said.status == 0:
        return Unavailable, "Google Cloud failed", ""
    if A_TYPE.search(said.message) and re.search(r"not (?:found|exist|supported|available)", said.message):
        return NoCapacity, "the zone doesn't have this machine type or GPU", ""
    if UNFIT.search(said.message):
        return NoCapacity, f"the zone doesn't have this machine in this way: {first_line(said.message)}", ""
    return InvalidConfiguration, f"Google Cloud refused: {first_line(said.message)}", ""


def _disabled_api(said: Said) -> Entry:
    found = API.search(said.message)
    api = said.facts.get("service") or (found[1] if found else "compute.googleapis.com")
    project = said.facts.get("consumer", "").rpartition("/")[2]
    command = f"gcloud services enable {api}" + (f" --project {project}" if project else "")
    return InvalidConfiguration, f"the API {api} isn't enabled for the project", f"`{command}`, then wait a few minutes"


def _missing(said: Said) -> Entry:
    if A_TYPE.search(said.message):
        return NoCapacity, "the zone doesn't have this machine type or GPU", ""
    if "serviceAccount" in said.message or "service account" in said.message.lower():
        return KNOWN["SERVICE_ACCOUNT_NOT_FOUND"]
    return InvalidConfiguration, f"it isn't there: {first_line(said.message)}", ""


def _quota(said: Said) -> Entry:
    found = QUOTA.search(said.message)
    if found is None:
        return KNOWN["QUOTA_EXCEEDED"]
    hint = f"{ALL_REGIONS}{ASK_FOR_QUOTA}" if found[1] == "GPUS_ALL_REGIONS" else ASK_FOR_QUOTA
    return QuotaExceeded, f"the project's quota {found[1]} is used up", hint


def _no_login(error: GoogleAuthError, where: str) -> BackendError:
    """No credentials were found, or they gave no token."""
    from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

    text = first_line(str(error.args[0]) if error.args else str(error))
    words = {"cloud_code": type(error).__name__, "cloud_message": text}
    if isinstance(error, DefaultCredentialsError):
        return NotAuthorized(f"no credentials for Google Cloud: {text}", LOG_IN, **words)
    if isinstance(error, TransportError) or error.retryable:
        return Unavailable(f"no answer from Google's login ({where}): {text}", **words)
    if isinstance(error, RefreshError):
        return NotAuthorized(f"the credentials have expired or were taken back: {text}", LOG_IN, **words)
    return NotAuthorized(f"the credentials can't be used: {text}", LOG_IN, **words)


def _by_status(status: int) -> str:
    return {401: "authError", 403: "forbidden", 404: "notFound", 409: "alreadyExists", 429: "rateLimitExceeded"}.get(
        status, "backendError" if status >= 500 else "invalid"
    )


def is_about_identity(refused: BackendError) -> bool:
    """Whether the machine's identity is what isn't there."""
    return "SERVICE_ACCOUNT_NOT_FOUND" in refused.cloud_code or bool(ABOUT_ACCOUNT.search(refused.cloud_message))

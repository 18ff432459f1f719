"""Azure's refusals in the terms of every backend."""

from __future__ import annotations

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from dstack_cloud import errors
from dstack_cloud.backends.azure.errors import explained, failure, is_missing, translated

HERE = "eastus-1 Standard_NC4as_T4_v3 spot"
QUOTA = (
    "Operation could not be completed as it results in exceeding approved Standard NCASv3_T4 Family Cores quota. "
    "Additional details - Location: eastus, Current Limit: 0, Current Usage: 0, Additional Required: 4"
)
UNREGISTERED = (
    "The subscription is not registered to use namespace 'Microsoft.Network'. See https://aka.ms/rps-not-found"
)
FORBIDDEN = (
    "The client 'c' with object id 'o' does not have authorization to perform action "
    "'Microsoft.Compute/virtualMachines/write' over scope '/subscriptions/s' or the scope is invalid."
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, errors.NoCapacity) for code in ("SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed")),
        *((code, errors.NoCapacity) for code in ("OverconstrainedAllocationRequest", "SpotPriceGreaterThanProvidedMaxPrice")),
        ("QuotaExceeded", errors.QuotaExceeded),
        *((code, errors.NotAuthorized) for code in ("AuthorizationFailed", "InvalidAuthenticationToken")),
        *((code, errors.NotAuthorized) for code in ("ExpiredAuthenticationToken", "ReadOnlyDisabledSubscription")),
        ("TooManyRequests", errors.Throttled),
        *((code, errors.Unavailable) for code in ("InternalServerError", "NicReservedForAnotherVm", "PrincipalNotFound")),
        *((code, errors.InvalidConfiguration) for code in ("MissingSubscriptionRegistration", "PlatformImageNotFound")),
        ("InvalidParameter", errors.InvalidConfiguration),
    ],
)  # fmt: skip
def test_each_code_becomes_its_kind_and_keeps_its_words(code: str, kind: type[errors.BackendError]) -> None:
    told = explained(code, "its own words", HERE, 409)
    assert type(told) is kind
    assert (told.cloud_code, told.cloud_message) == (code, "its own words")
    assert HERE in told.summary


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.NotAuthorized),
        (403, errors.NotAuthorized),
        (429, errors.Throttled),
        (503, errors.Unavailable),
        (400, errors.InvalidConfiguration),
    ],
)
def test_an_unknown_code_is_judged_by_its_status(status: int, kind: type[errors.BackendError]) -> None:
    assert type(explained("BrandNew", "words", HERE, status)) is kind


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (QUOTA, errors.QuotaExceeded),
        (
            "Operation could not be completed as it results in exceeding approved LowPriorityCores quota.",
            errors.QuotaExceeded,
        ),
        ("The requested VM size does not support Spot", errors.NoCapacity),
        ("Operation 'Put' is not allowed on VM 'x' since the VM is marked for deletion.", errors.Unavailable),
        ("Extensions are not allowed here", errors.InvalidConfiguration),
    ],
)
def test_what_is_not_allowed_is_told_by_its_text(message: str, kind: type[errors.BackendError]) -> None:
    assert type(explained("OperationNotAllowed", message, HERE, 409)) is kind


@pytest.mark.parametrize(
    ("code", "message", "said", "hint"),
    [
        ("MissingSubscriptionRegistration", UNREGISTERED, "Microsoft.Network isn't registered", "az provider register -n Microsoft.Network"),
        ("AuthorizationFailed", FORBIDDEN, "permission Microsoft.Compute/virtualMachines/write is missing", "config permissions azure"),
        ("ExpiredAuthenticationToken", "", "login has expired", "az login"),
        ("ReadOnlyDisabledSubscription", "", "read-only", "reactivate"),
        ("SubscriptionNotFound", "", "subscription isn't there", "az account list"),
        ("QuotaExceeded", "", "quota", "portal.azure.com"),
    ],
)  # fmt: skip
def test_the_hint_says_what_to_do(code: str, message: str, said: str, hint: str) -> None:
    told = explained(code, message, HERE, 409)
    assert said in told.summary
    assert hint in (told.hint or "")


def test_what_only_one_region_lacks() -> None:
    assert explained("LocationNotAvailableForResourceType", "", HERE, 400).scope == "region"
    assert explained("AuthorizationFailed", FORBIDDEN, HERE, 403).scope == ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("BadRequest", "The selected VM size 'Standard_D2' cannot boot Hypervisor Generation '2'."),
        ("BadRequest", "The VM size 'Standard_DC2as_v5' is not supported with '<NULL>' security type."),
        ("InvalidParameter", "The value Standard_X provided for the VM size is not valid."),
        ("RequestDisallowedByPolicy", "Policy identifiers: [{'name': 'Allowed virtual machine size SKUs'}]"),
        ("ConflictingUserInput", "Disk dstack-k-os already exists in resource group g."),
    ],
)
def test_what_one_size_is_refused_leaves_the_others_open(code: str, message: str) -> None:
    told = explained(code, message, HERE, 409)
    assert type(told) is errors.NoCapacity
    assert (told.cloud_code, told.cloud_message) == (code, message)


def test_a_policy_may_be_about_one_region() -> None:
    told = explained("RequestDisallowedByPolicy", "Policy identifiers: [{'name': 'Allowed locations'}]", HERE, 403)
    assert (type(told), told.scope) == (errors.NotAuthorized, "region")


def test_a_familys_quota_says_nothing_of_other_families() -> None:
    everybodys = QUOTA.replace("Standard NCASv3_T4 Family", "Total Regional")
    scopes = [explained("OperationNotAllowed", message, HERE, 409).scope for message in (QUOTA, everybodys)]
    assert scopes == ["type", ""]


def test_a_disk_that_is_too_small_for_the_users_image() -> None:
    text = "The specified disk size 60 GB is smaller than the size of the corresponding disk in the VM image: 128 GB."
    assert "`disk`" in (explained("InvalidParameter", text, HERE, 400).hint or "")


def test_a_subscription_without_spot_machines_may_have_others() -> None:
    assert type(explained("AzureSpotFeatureNotEnabledForSubscription", "", HERE, 400)) is errors.QuotaExceeded


def test_an_operation_that_failed_is_told_by_its_inner_reason() -> None:
    inner = {"code": "AllocationFailed", "message": "no place"}
    told = failure({"code": "DeploymentFailed", "message": "it failed", "details": [inner]}, HERE)
    assert type(told) is errors.NoCapacity
    assert told.cloud_message == "no place"


def test_what_is_missing_is_known_by_its_code() -> None:
    assert is_missing(explained("ResourceNotFound", "", HERE, 404))
    assert not is_missing(explained("AllocationFailed", "", HERE, 409))


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ServiceRequestError("no way there"), errors.Unavailable),
        (ServiceResponseError("it hung up"), errors.Unavailable),
        (HttpResponseError("<html>bad gateway</html>"), errors.Unavailable),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret"), errors.NotAuthorized),
    ],
)
def test_what_the_sdk_raises_without_an_answer(raised: Exception, kind: type[errors.BackendError]) -> None:
    with pytest.raises(kind), translated(HERE):
        raise raised

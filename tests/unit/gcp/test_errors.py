from __future__ import annotations

import socket

import pytest
from google.api_core.exceptions import GoogleAPICallError, from_http_status
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

from dstack_cloud import errors
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.errors import Said, is_about_identity, refusal, said_by, translated

HERE = "us-central1-a g2-standard-4 spot"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", errors.NoCapacity),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", errors.NoCapacity),
        ("insufficientCapacity", errors.NoCapacity),
        ("UNSUPPORTED_OPERATION", errors.NoCapacity),
        ("QUOTA_EXCEEDED", errors.QuotaExceeded),
        ("quotaExceeded", errors.QuotaExceeded),
        ("RESOURCE_OPERATION_RATE_EXCEEDED", errors.Throttled),
        ("rateLimitExceeded", errors.Throttled),
        ("IAM_PERMISSION_DENIED", errors.NotAuthorized),
        ("authError", errors.NotAuthorized),
        ("SERVICE_ACCOUNT_ACCESS_DENIED", errors.NotAuthorized),
        ("INTERNAL_ERROR", errors.Unavailable),
        ("backendError", errors.Unavailable),
        ("resourceNotReady", errors.Unavailable),
        ("SERVICE_DISABLED", errors.InvalidConfiguration),
        ("BILLING_DISABLED", errors.InvalidConfiguration),
    ],
)
def test_each_code_becomes_its_kind_and_keeps_its_words(code: str, kind: type[errors.BackendError]) -> None:
    told = refusal(Said(code, "its own words", 403), HERE)
    assert type(told) is kind
    assert (told.cloud_code, told.cloud_message) == (code, "its own words")
    assert HERE in told.summary


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.NotAuthorized),
        (403, errors.NotAuthorized),
        (404, errors.InvalidConfiguration),
        (429, errors.Throttled),
        (503, errors.Unavailable),
        (400, errors.InvalidConfiguration),
    ],
)
def test_an_unknown_code_is_judged_by_its_status(status: int, kind: type[errors.BackendError]) -> None:
    assert type(refusal(Said("brandNew", "words", status), HERE)) is kind


@pytest.mark.parametrize(
    "said",
    [
        Said("forbidden", "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/x'", 403),
        Said("IAM_PERMISSION_DENIED", "no", 403, {"permission": "compute.instances.create"}),
        Said("PERMISSIONS_ERROR", "Permission 'compute.instances.create' denied on 'projects/p'", 403),
    ],
)
def test_a_missing_permission_is_named(said: Said) -> None:
    told = refusal(said, HERE)
    assert "the permission compute.instances.create is missing" in told.summary
    assert told.hint and "dstack config permissions gcp" in told.hint


def test_an_api_that_is_not_enabled_is_named_with_the_command() -> None:
    facts = {"service": "iam.googleapis.com", "consumer": "projects/123"}
    told = refusal(Said("SERVICE_DISABLED", "IAM API has not been used in project 123 before", 403, facts), HERE)
    assert "iam.googleapis.com isn't enabled" in told.summary
    assert told.hint and "gcloud services enable iam.googleapis.com --project 123" in told.hint
    older = refusal(Said("accessNotConfigured", "Enable it: …/apis/api/compute.googleapis.com/overview", 403), HERE)
    assert "gcloud services enable compute.googleapis.com" in str(older.hint)


@pytest.mark.parametrize("code", ["billingNotEnabled", "UREQ_PROJECT_BILLING_NOT_FOUND", "forbidden"])
def test_billing_that_is_disabled(code: str) -> None:
    told = refusal(Said(code, "This API method requires billing to be enabled.", 403), HERE)
    assert "billing is disabled" in told.summary and "gcloud billing projects link" in str(told.hint)


def test_a_quota_is_named_and_one_of_all_regions_says_so() -> None:
    told = refusal(Said("QUOTA_EXCEEDED", "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", 403), HERE)
    assert "GPUS_ALL_REGIONS is used up" in told.summary and "no region" in str(told.hint)
    told = refusal(Said("QUOTA_EXCEEDED", "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region x.", 403), HERE)
    assert isinstance(told, errors.QuotaExceeded) and "NVIDIA_L4_GPUS" in told.summary


@pytest.mark.parametrize(
    ("metric", "scope"),
    [
        *((metric, "type") for metric in ("N2_CPUS", "PREEMPTIBLE_C2D_CPUS", "CPUS_PER_VM_FAMILY")),
        *((metric, "") for metric in ("CPUS", "PREEMPTIBLE_CPUS", "CPUS_ALL_REGIONS", "NVIDIA_L4_GPUS")),
    ],
)
def test_a_quota_of_one_family_leaves_the_others_open(metric: str, scope: str) -> None:
    told = refusal(Said("QUOTA_EXCEEDED", f"Quota '{metric}' exceeded.  Limit: 8.0 in region x.", 403), HERE)
    assert (told.scope, type(told)) == (scope, errors.QuotaExceeded)


@pytest.mark.parametrize(
    "message",
    [
        "The resource 'projects/p/zones/z/acceleratorTypes/nvidia-l4' was not found",
        "Machine type with name 'a3-highgpu-8g' does not exist in zone 'z'.",
        "The resource 'projects/p/zones/z/machineTypes/a3-highgpu-8g' was not found",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_a_zone_without_the_gpu_is_no_capacity(message: str, status: int) -> None:
    code = "notFound" if status == 404 else "invalid"
    assert isinstance(refusal(Said(code, message, status), HERE), errors.NoCapacity)


@pytest.mark.parametrize(
    "message",
    [
        "[c3-standard-192-metal, pd-balanced] features are not compatible for creating instance.",
        "Instances with guest accelerators do not support live migration.",
        "Invalid value for field 'resource.scheduling.onHostMaintenance': 'MIGRATE'. It must be TERMINATE.",
        "Invalid value for field 'resource.disks[0].initializeParams.diskType': 'x'. It isn't supported.",
        "On-demand provisioning is not available for this accelerator.",
    ],
)
def test_what_one_type_can_not_have_does_not_forbid_the_others(message: str) -> None:
    told = refusal(Said("badRequest", message, 400), HERE)
    assert isinstance(told, errors.NoCapacity) and message in told.summary


def test_a_policy_of_the_organization_and_a_project_that_is_not_there() -> None:
    words = "Constraint constraints/compute.vmExternalIpAccess violated for project p."
    told = refusal(Said("conditionNotMet", words, 412), HERE)
    assert "constraints/compute.vmExternalIpAccess" in told.summary and isinstance(told, errors.InvalidConfiguration)
    assert told.scope == ""
    words = "Constraint constraints/gcp.resourceLocations violated for projects/p. The location us-east1 isn't allowed."
    assert refusal(Said("conditionNotMet", words, 412), HERE).scope == "region"
    told = refusal(Said("notFound", "The resource 'projects/p' was not found: Failed to find project p", 404), HERE)
    assert "no such project" in told.summary and "`project`" in str(told.hint)


def test_an_account_that_is_not_there_is_known_by_its_words() -> None:
    words = (
        "The resource 'projects/p/serviceAccounts/a@p.iam.gserviceaccount.com' of type 'serviceAccount' was not found."
    )
    assert is_about_identity(refusal(Said("invalid", words, 400), HERE))
    assert not is_about_identity(refusal(Said("invalid", "something else", 400), HERE))


def answer(status: int, reason: str) -> GoogleAPICallError:
    made: GoogleAPICallError = from_http_status(
        status, "POST https://compute.googleapis.com/x: its own words", errors=[{"reason": reason}]
    )
    return made


def test_the_reason_of_an_answer_is_found_and_its_words_are_googles() -> None:
    assert said_by(answer(403, "quotaExceeded")) == Said("quotaExceeded", "its own words", 403)
    assert said_by(from_http_status(503, "broken")).code == "backendError"


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (DefaultCredentialsError("none found"), errors.NotAuthorized),
        (RefreshError("invalid_grant: Token has been expired or revoked."), errors.NotAuthorized),
        (RefreshError("internal_failure", retryable=True), errors.Unavailable),
        (TransportError("no way"), errors.Unavailable),
        (answer(429, "rateLimitExceeded"), errors.Throttled),
    ],
)
def test_what_the_sdk_raises(raised: Exception, kind: type[errors.BackendError]) -> None:
    with pytest.raises(kind) as caught, translated(HERE):
        raise raised
    assert caught.value.__cause__ is raised


def test_no_answer_at_all_may_have_had_its_effect(config_without_cloud: GcpConfig) -> None:
    with pytest.raises(errors.Unavailable, match="no answer from"):
        GcpClient(config_without_cloud).token()


@pytest.fixture
def config_without_cloud(tmp_path, key_without_cloud) -> GcpConfig:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return GcpConfig(credentials=key_without_cloud(f"http://127.0.0.1:{port}/token"), project="some-project")

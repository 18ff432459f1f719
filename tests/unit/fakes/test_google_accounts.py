"""Who may do what in the emulated Google Cloud: tokens, roles with conditions, services that aren't enabled, prices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud
from tests.unit.fakes.google_requests import COMPUTE, INSTANCES, ask, instance, launch, refusal

pytestmark = pytest.mark.google

MANAGER, ROLES = f"/v3/projects/{PROJECT}", f"/v1/projects/{PROJECT}/roles"
ACCOUNTS = f"/v1/projects/{PROJECT}/serviceAccounts"
SKUS = "/v1/services/6F81-5844-456A/skus"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def said(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    status, document = answer
    return status, document["error"]["message"]


def test_without_a_token_or_with_one_that_expired(google: GoogleCloud) -> None:
    token = google.token()
    assert ask(google, "GET", INSTANCES, token=token)[0] == 200
    google.expire_tokens()
    for each in ("", "ya29.forged", "eyJhbGciOiJub25lIn0.e30.", token):
        status, answer = ask(google, "GET", INSTANCES, token=each)
        assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_a_key_that_is_another_accounts_gives_no_token(google: GoogleCloud) -> None:
    from google.auth.exceptions import RefreshError

    with pytest.raises(RefreshError, match="account not found"):
        google.token({**google.key_file(), "client_email": f"nobody@{PROJECT}.iam.gserviceaccount.com"})


def test_a_restricted_caller_is_told_what_it_lacks(google: GoogleCloud) -> None:
    token = google.token(google.restricted("looker", ["compute.instances.get", "compute.instances.list"]))
    assert ask(google, "GET", INSTANCES, token=token)[0] == 200
    status, message = said(ask(google, "POST", INSTANCES, instance(), token=token))
    assert (status, message.split("'")[1]) == (403, "compute.instances.create")
    launch(google)
    status, message = said(ask(google, "DELETE", f"{INSTANCES}/vm-1", token=token))
    assert (
        message
        == f"Required 'compute.instances.delete' permission for 'projects/{PROJECT}/zones/{ZONE}/instances/vm-1'"
    )


def test_a_condition_on_the_name_of_what_may_be_deleted(google: GoogleCloud) -> None:
    name = 'resource.name.extract("/instances/{name}")'
    condition = f'resource.type == "compute.googleapis.com/Instance" && {name}.startsWith("vm-")'
    token = google.token(google.restricted("reaper", ["compute.instances.delete"], condition))
    launch(google)
    launch(google, "other")
    assert ask(google, "DELETE", f"{INSTANCES}/other", token=token)[0] == 403
    assert ask(google, "DELETE", f"{INSTANCES}/vm-1", token=token)[0] == 200


def test_a_launch_needs_a_permission_for_each_thing_that_it_asks_for(google: GoogleCloud) -> None:
    permissions = ["compute.instances.create"]
    lacking = (
        "instances.setLabels",
        "instances.setServiceAccount",
        "disks.create",
        "subnetworks.use",
        "subnetworks.useExternalIp",
    )
    accounts = [{"email": "default", "scopes": [SCOPE]}]
    for number, lacks in enumerate(lacking):
        token = google.token(google.restricted(f"caller-{number}", permissions))
        _, message = said(ask(google, "POST", INSTANCES, instance(serviceAccounts=accounts), token=token))
        assert message.split("'")[1] == f"compute.{lacks}"
        permissions.append(f"compute.{lacks}")
    token = google.token(google.restricted("caller-9", permissions))
    _, operation = ask(google, "POST", INSTANCES, instance(serviceAccounts=accounts), token=token)
    google.set(operation_delay=0)
    _, done = ask(google, "GET", f"{operation['selfLink'].partition('googleapis.com')[2]}")
    assert done["error"]["errors"][0]["code"] == "SERVICE_ACCOUNT_ACCESS_DENIED"


def test_permissions_that_one_has_are_told(google: GoogleCloud) -> None:
    token = google.token(google.restricted("looker", ["compute.instances.list"]))
    asked = {"permissions": ["compute.instances.list", "compute.instances.create"]}
    assert ask(google, "POST", f"{MANAGER}:testIamPermissions", asked, token=token)[1] == {
        "permissions": ["compute.instances.list"]
    }
    assert ask(google, "POST", f"{MANAGER}:testIamPermissions", asked)[1] == asked
    assert refusal(google, "POST", f"{MANAGER}:testIamPermissions", {"permissions": ["everything"]})[0] == 400


def test_a_policy_is_changed_by_who_has_seen_it_as_it_is(google: GoogleCloud) -> None:
    role = {"title": "Machine", "stage": "GA", "includedPermissions": ["compute.instances.delete"]}
    assert ask(google, "POST", ROLES, {"roleId": "machine", "role": role})[0] == 200
    assert refusal(google, "POST", ROLES, {"roleId": "machine", "role": role})[:2] == (409, "alreadyExists")
    _, account = ask(google, "POST", ACCOUNTS, {"accountId": "machine", "serviceAccount": {"displayName": "machines"}})
    _, policy = ask(google, "POST", f"{MANAGER}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
    member = f"serviceAccount:{account['email']}"
    condition = {"title": "own", "expression": 'resource.name.endsWith("/vm-1")'}
    wanted = {"role": f"projects/{PROJECT}/roles/machine", "members": [member], "condition": condition}
    changed = {**policy, "bindings": [*policy["bindings"], wanted], "version": 3}
    assert ask(google, "POST", f"{MANAGER}:setIamPolicy", {"policy": changed})[0] == 200
    assert refusal(google, "POST", f"{MANAGER}:setIamPolicy", {"policy": changed})[:2] == (409, "aborted")


BINDINGS = {
    "unknown role": {"role": f"projects/{PROJECT}/roles/none", "members": []},
    "unknown account": {"role": "roles/viewer", "members": ["serviceAccount:nobody@nowhere.iam.gserviceaccount.com"]},
    "unknown kind of member": {"role": "roles/viewer", "members": ["robot:r2"]},
    "unknown attribute": {"role": "roles/viewer", "members": [], "condition": {"expression": 'resource.size == "1"'}},
    "broken expression": {"role": "roles/viewer", "members": [], "condition": {"expression": 'resource.name ="1"'}},
}


@pytest.mark.parametrize("binding", BINDINGS.values(), ids=BINDINGS)
def test_a_policy_that_is_refused(google: GoogleCloud, binding: dict[str, Any]) -> None:
    policy = {"version": 3, "bindings": [binding]}
    assert refusal(google, "POST", f"{MANAGER}:setIamPolicy", {"policy": policy})[0] == 400


def test_a_condition_needs_the_third_version_of_a_policy(google: GoogleCloud) -> None:
    binding = {"role": "roles/viewer", "members": [], "condition": {"expression": 'resource.name == "a"', "title": "a"}}
    assert refusal(google, "POST", f"{MANAGER}:setIamPolicy", {"policy": {"bindings": [binding]}})[0] == 400


def test_an_account_takes_a_while_until_machines_may_be_it(google: GoogleCloud) -> None:
    google.set(account_delay=3600)
    _, account = ask(google, "POST", ACCOUNTS, {"accountId": "machine", "serviceAccount": {}})
    operation = launch(google, serviceAccounts=[{"email": account["email"], "scopes": [SCOPE]}])
    assert operation["error"]["errors"][0]["code"] == "EXTERNAL_RESOURCE_NOT_FOUND"
    google.set(account_delay=0)
    assert "error" not in launch(google, serviceAccounts=[{"email": account["email"], "scopes": [SCOPE]}])


def test_a_service_that_is_not_enabled_and_a_project_without_billing(google: GoogleCloud) -> None:
    google.set(disabled=["compute.googleapis.com"])
    status, reason, message = refusal(google, "GET", INSTANCES)
    assert (status, reason) == (403, "accessNotConfigured")
    assert message.startswith("Compute Engine API has not been used in project")
    service = f"/v1/projects/{PROJECT}/services/compute.googleapis.com"
    assert ask(google, "GET", service)[1]["state"] == "DISABLED"
    assert ask(google, "POST", f"{service}:enable", {})[1]["done"]
    assert ask(google, "GET", INSTANCES)[0] == 200
    google.set(billing=False)
    assert refusal(google, "GET", INSTANCES)[:2] == (403, "billingNotEnabled")


def test_a_token_for_something_else_is_refused(google: GoogleCloud) -> None:
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    scopes = ["https://www.googleapis.com/auth/compute.readonly"]
    made: Any = service_account.Credentials.from_service_account_info(google.key_file(), scopes=scopes)
    made.refresh(Request())
    assert ask(google, "GET", INSTANCES, token=made.token)[0] == 200
    status, answer = ask(google, "POST", INSTANCES, instance(), token=made.token)
    assert (status, answer["error"]["details"][0]["reason"]) == (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")


def test_a_price_list_in_pages(google: GoogleCloud) -> None:
    found, token = [], ""
    while not found or token:
        page = ask(google, "GET", SKUS, pageSize="100", pageToken=token)[1]
        found += page["skus"]
        token = page["nextPageToken"]
    prices = {
        each["description"]: each["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]
        for each in found
        if each["serviceRegions"] == ["us-central1"]
    }
    core = "N1 Predefined Instance Core running in Americas"
    assert prices[core] == {"currencyCode": "USD", "units": "0", "nanos": 31611000}
    assert prices[f"Spot Preemptible {core}"]["nanos"] < prices[core]["nanos"] / 2
    assert prices["Nvidia Tesla V100 GPU running in Americas"]["units"] == "2"
    assert len({each["skuId"] for each in found}) == len(found)


def test_images_are_everybodys(google: GoogleCloud) -> None:
    token = google.token(google.restricted("nobody", []))
    path = "/compute/v1/projects/debian-cloud/global/images/family/debian-12"
    assert ask(google, "GET", path, token=token)[1]["name"].startswith("debian-12-bookworm-v")
    assert ask(google, "GET", f"{COMPUTE}/zones", token=token)[0] == 403

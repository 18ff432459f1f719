from __future__ import annotations

import yaml

from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.policy import (
    MOST_RULES,
    OBJECT_USER,
    OBJECT_VIEWER,
    boundary,
    least_role,
    own_machines,
    permissions,
    place_of,
)

STORE = "gs://bucket/team"


def test_the_least_role_is_what_gcloud_takes() -> None:
    role = yaml.safe_load(least_role(GcpConfig(), STORE))
    assert role["includedPermissions"] == list(permissions(GcpConfig(), STORE))
    assert "compute.instances.create" in role["includedPermissions"] and role["stage"] == "GA"


def test_less_is_needed_where_less_is_done() -> None:
    everything = set(permissions(GcpConfig(), STORE))
    assert not any(each.startswith("storage.") for each in permissions(GcpConfig(), "s3://bucket"))
    own = set(permissions(GcpConfig(service_account="me@p.iam.gserviceaccount.com"), STORE))
    assert "iam.serviceAccounts.actAs" in own and "iam.serviceAccounts.create" not in own
    assert "storage.buckets.setIamPolicy" in everything - own
    none = permissions(GcpConfig(service_account="none", public_ip=False))
    assert not any(each.startswith(("iam.", "resourcemanager.")) for each in none)
    assert "compute.subnetworks.useExternalIp" not in none


def test_a_machine_may_delete_those_of_its_installation_only() -> None:
    assert own_machines("dstack-1") == (
        'resource.type == "compute.googleapis.com/Instance"'
        ' && resource.name.extract("/instances/{name}").startsWith("dstack-1-")'
    )


def test_lent_credentials_are_limited_to_their_prefixes() -> None:
    made = boundary(STORE, ["runs/a-1/"], ["code/"])
    assert made
    use, read = made["accessBoundary"]["accessBoundaryRules"]
    assert use["availableResource"] == "//storage.googleapis.com/projects/_/buckets/bucket"
    assert use["availablePermissions"] == [f"inRole:{OBJECT_USER}"]
    assert read["availablePermissions"] == [f"inRole:{OBJECT_VIEWER}"]
    expression = use["availabilityCondition"]["expression"]
    assert 'resource.name.startsWith("projects/_/buckets/bucket/objects/team/runs/a-1/")' in expression
    assert 'objectListPrefix", "").startsWith("team/runs/a-1/")' in expression


def test_many_prefixes_share_rules_until_there_are_too_many() -> None:
    some = boundary(STORE, [f"p{number}/" for number in range(6 * MOST_RULES)])
    assert some and len(some["accessBoundary"]["accessBoundaryRules"]) == MOST_RULES
    # https://cloud.google.com/iam/docs/conditions-overview: no more than twelve logical operators in one
    for rule in some["accessBoundary"]["accessBoundaryRules"]:
        assert rule["availabilityCondition"]["expression"].count("||") <= 12
    assert boundary(STORE, [f"p{number}/" for number in range(6 * MOST_RULES + 1)]) is None


def test_a_store_is_a_bucket_and_perhaps_a_folder() -> None:
    assert place_of("gs://bucket") == ("bucket", "")
    assert place_of("gs://bucket/a/b/") == ("bucket", "a/b/")

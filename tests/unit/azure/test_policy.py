"""Roles: what a login needs, what a machine may do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_cloud.backends.azure.config import NO_IDENTITY, AzureConfig, Images
from dstack_cloud.backends.azure.resources.policy import (
    END_MACHINES,
    lacking,
    least_permissions,
    machine_role,
    name_of,
    needed_permissions,
)

SUBSCRIPTION = "5d5c5b5a-0000-4000-8000-00000000abcd"
OWNERS = {"actions": ["*"], "notActions": []}
CONTRIBUTORS = {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write", "Microsoft.Authorization/*/Delete"]}
READERS = {"actions": ["*/read"], "notActions": []}


def test_a_machine_may_delete_machines_and_nothing_else() -> None:
    _, role = machine_role(SUBSCRIPTION)
    assert role["permissions"] == [
        {"actions": [END_MACHINES], "notActions": [], "dataActions": [], "notDataActions": []}
    ]


def test_names_are_always_the_same_ones() -> None:
    assert machine_role(SUBSCRIPTION)[0] == machine_role(SUBSCRIPTION.upper())[0]
    assert name_of("a", "b") != name_of("ab", "")


def test_the_least_role_is_what_az_takes() -> None:
    role = json.loads(least_permissions(AzureConfig(), SUBSCRIPTION, "az://runs"))
    assert role["AssignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"]
    assert any(action.endswith("/blobs/write") for action in role["DataActions"])
    assert not any(action in ("*", "*/read") for action in role["Actions"])
    assert json.loads(least_permissions(AzureConfig(), SUBSCRIPTION))["DataActions"] == []


def test_images_of_the_users_own_are_read() -> None:
    own = AzureConfig(images=Images(cpu="/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/mine"))
    assert "Microsoft.Compute/images/read" in needed_permissions(own)
    assert "Microsoft.Compute/images/read" not in needed_permissions(AzureConfig())


def test_without_an_identity_no_roles_are_given() -> None:
    without = needed_permissions(AzureConfig(identity=NO_IDENTITY))
    assert not any("Authorization/role" in action or "ManagedIdentity" in action for action in without)


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        ([OWNERS], []),
        ([CONTRIBUTORS], ["roleDefinitions/write", "roleAssignments/write"]),
        ([CONTRIBUTORS, {"actions": ["Microsoft.Authorization/role*/*"]}], []),
    ],
)
def test_what_a_login_lacks(permissions: list[dict[str, list[str]]], missing: list[str]) -> None:
    found = lacking(needed_permissions(AzureConfig()), permissions)
    assert [action.partition("/")[2] for action in found] == missing


def test_a_reader_lacks_what_changes_something() -> None:
    found = lacking(needed_permissions(AzureConfig()), [READERS])
    assert found
    assert not any(action.endswith("/read") for action in found)


def test_the_page_shows_the_least_role() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/azure.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    known = json.loads(least_permissions(AzureConfig(storage_account="a"), "0" * 8, "az://x"))
    assert (set(shown["Actions"]), set(shown["DataActions"])) == (set(known["Actions"]), set(known["DataActions"]))

"""What `dstack config` has Google Cloud do ahead of the first launch, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.policy import permissions
from tests.fakes.gcp import GoogleCloud

pytestmark = pytest.mark.google


def test_the_service_account_of_machines_is_made_once(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    made = GcpBackend(config, tmp_path, "me", "")
    said = made.prepare("")
    assert said.startswith("the machines' service account dstack-") and said.endswith(" is there")
    assert made.prepare("") == said
    none = config.model_copy(update={"service_account": "none"})
    assert GcpBackend(none, tmp_path, "me", "").prepare("") == ""


def test_the_role_that_is_printed_is_for_the_settings_and_the_store(backend: GcpBackend, config: GcpConfig) -> None:
    least = backend.permissions("gs://bucket/team")
    assert yaml.safe_load(least.document)["includedPermissions"] == list(permissions(config, "gs://bucket/team"))
    assert "storage.objects.create" in least.document
    assert "gcloud iam roles create" in least.apply

"""Who may do what `dstack config permissions gcp` prints, and nothing else: whom tests of whole lives are, since the emulated cloud
enforces it."""

from __future__ import annotations

import uuid

import yaml

from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.policy import least_permissions
from tests.fakes.gcp.cloud import GoogleCloud


def least_key(cloud: GoogleCloud, config: GcpConfig, store: str = "") -> dict[str, str]:
    """The key of a new account that has the printed role, as gcloud would read it, in the project."""
    role = yaml.safe_load(least_permissions(config, store))
    return cloud.restricted(f"least-{uuid.uuid4().hex[:12]}", role["includedPermissions"])

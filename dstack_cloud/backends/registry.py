"""All backends: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.local.backend import LocalBackend
from dstack_cloud.backends.local.config import LocalConfig
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig

DEFAULT_IMAGE = "dstack-cloud/job:py{python}"

Settings = Mapping[str, Mapping[str, Any]]


def make_backends(home: Path, installation: str, settings: Settings, default_image: str) -> dict[str, Backend]:
    """Every backend of this version, by name; nothing is contacted. Raises ConfigurationError for bad settings."""
    image = default_image or DEFAULT_IMAGE
    try:
        return {
            "local": LocalBackend(LocalConfig.model_validate(settings.get("local", {})), home, image),
            "sandbox": SandboxBackend(SandboxConfig.model_validate(settings.get("sandbox", {})), home, installation),
        }
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(str(p) for p in item['loc'])}: {item['msg']}" for item in error.errors())
        raise errors.ConfigurationError(f"backend settings: {lines}", "mend config.yaml") from None

"""Providers turn a workflow into jobs; `registry.PROVIDERS` lists those that are built."""

from __future__ import annotations

from dstack_cloud.domain.providers.confidence import confidential, needs_env
from dstack_cloud.domain.providers.filling import secrets_of, uses_args
from dstack_cloud.domain.providers.registry import PROVIDERS
from dstack_cloud.domain.providers.requirements import Overrides
from dstack_cloud.domain.providers.specs import job_specs

__all__ = ["PROVIDERS", "Overrides", "confidential", "job_specs", "needs_env", "secrets_of", "uses_args"]

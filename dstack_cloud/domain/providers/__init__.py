"""From a workflow to its jobs, by way of its provider (`dstack_cloud.providers`)."""

from __future__ import annotations

from dstack_cloud.domain.providers.confidence import confidential, needs_env
from dstack_cloud.domain.providers.filling import secrets_of, tells_runs_apart, uses_args
from dstack_cloud.domain.providers.making import Providers
from dstack_cloud.domain.providers.requirements import Overrides
from dstack_cloud.domain.providers.specs import job_specs, program_of

__all__ = [
    "Overrides",
    "Providers",
    "confidential",
    "job_specs",
    "needs_env",
    "program_of",
    "secrets_of",
    "tells_runs_apart",
    "uses_args",
]

"""The providers that are built."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_cloud.domain.providers.base import Provider
from dstack_cloud.domain.providers.bash import Bash
from dstack_cloud.domain.providers.docker import Docker
from dstack_cloud.errors import NotAvailableYet

PROVIDERS: Mapping[str, type[Provider]] = {provider.name: provider for provider in (Bash, Docker)}


def provider_named(name: str) -> Provider:
    """Raises NotAvailableYet."""
    if name not in PROVIDERS:
        raise NotAvailableYet(f"the provider `{name}` is not available yet", f"available: {', '.join(PROVIDERS)}")
    return PROVIDERS[name]()

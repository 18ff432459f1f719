"""The typed HTTP client, which is the public Python API. Importing it costs nothing until `Client` is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstack_cloud.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from dstack_cloud.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

from __future__ import annotations

from dstack_cloud.providers.base import AsWritten


class Docker(AsWritten):
    """An image of yours; without commands it runs what it is made to run."""

    name = "docker"
    example = "image: redis:7\nports: 6379"
    needs = ("image",)

from __future__ import annotations

from dstack_cloud.backends.base.settings import CloudConfig


class ToyConfig(CloudConfig):
    """`folder` is the cloud, `key` lets into it."""

    folder: str = "toyland"
    key: str = "toy"

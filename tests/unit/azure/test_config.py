"""What may be set, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.backends.azure.config import AzureConfig, Images
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.backends.registry import make_backends
from dstack_cloud.errors import ConfigurationError


def test_regions_are_called_as_the_portal_calls_them_or_as_azure_does() -> None:
    assert AzureConfig(regions=("East US", "eastus", "westeurope")).regions == ("eastus", "westeurope")


def test_a_disk_is_bytes_or_a_size() -> None:
    assert AzureConfig.model_validate({"disk": "100GiB"}).disk == 100 * GIB


def test_an_image_is_a_urn_or_an_id() -> None:
    assert Images(cpu="/subscriptions/s/images/mine", gpu="a:b:c:1.2.3").gpu == "a:b:c:1.2.3"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"subscription": "my subscription"}, "az account list"),
        ({"images": {"cpu": "ubuntu"}}, "publisher:offer:sku:version"),
        ({"identity": "me"}, "user-assigned identity"),
        ({"resource_group": "a/b"}, "resource group"),
        ({"ssh_from": ["everywhere"]}, "everywhere"),
        ({"disk": "1GiB"}, "disk"),
        ({"endpoint": "localhost:1"}, "isn't a URL"),
        ({"address_space": "10.0.0.0/99"}, "netmask"),
        ({"regon": ["eastus"]}, "regon"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"settings\.azure") as wrong:
        make_backends(tmp_path, "me", {"azure": settings}, "")
    assert said in str(wrong.value)

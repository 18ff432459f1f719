from __future__ import annotations

import pytest
from pydantic import ValidationError

from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.backends.gcp.config import GcpConfig, Images


@pytest.mark.parametrize(
    "settings",
    [
        {"project": "Not A Project"},
        {"endpoint": "localhost:1"},
        {"service_account": "somebody"},
        {"ssh_from": ("nowhere",)},
        {"disk": "much"},
        {"images": {"cpu": "ubuntu"}},
        {"no_such_setting": 1},
    ],
)
def test_settings_that_can_not_be(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GcpConfig.model_validate(settings)


def test_settings_as_they_are_read() -> None:
    config = GcpConfig.model_validate({"disk": "100GiB", "ssh_from": ["192.0.2.7/24"], "endpoint": "http://h:1/"})
    assert (config.disk, config.ssh_from, config.endpoint) == (100 * GIB, ("192.0.2.0/24",), "http://h:1")
    assert Images(gpu="my-project/my-image").gpu == "my-project/my-image"

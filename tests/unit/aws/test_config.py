from __future__ import annotations

import pytest
from pydantic import ValidationError

from dstack_cloud.backends.aws.config import AwsConfig, Images
from dstack_cloud.backends.base.settings import GIB


@pytest.mark.parametrize(
    "settings",
    [
        {"ssh_from": ["everywhere"]},
        {"endpoint": "localhost:4566"},
        {"images": {"cpu": "ubuntu"}},
        {"disk": 1},
        {"region": "x"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AwsConfig.model_validate(settings)


def test_settings_may_be_written_shorter() -> None:
    assert AwsConfig(ssh_from=("192.0.2.7",)).ssh_from == ("192.0.2.7/32",)
    assert AwsConfig.model_validate({"disk": "100GiB"}).disk == 100 * GIB
    assert Images().cpu.startswith("/aws/service/canonical/")

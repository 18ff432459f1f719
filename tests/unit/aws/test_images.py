from __future__ import annotations

import pytest

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.images import Catalogue
from dstack_cloud.errors import InvalidConfiguration
from tests.fakes.aws import REGION
from tests.unit.aws.conftest import IMAGE


def test_an_image_by_parameter_or_id(config: AwsConfig) -> None:
    images = Catalogue(AwsClient(config))
    found = images.find(REGION, IMAGE)
    assert found.id.startswith("ami-") and found.device.startswith("/dev/") and found.size >= 2**30
    assert images.find(REGION, found.id) == found


@pytest.mark.parametrize("name", ["ami-0123456789abcdef0", "/aws/service/none/such"])
def test_an_image_that_is_not_there(config: AwsConfig, name: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        Catalogue(AwsClient(config)).find(REGION, name)
    assert REGION in caught.value.summary

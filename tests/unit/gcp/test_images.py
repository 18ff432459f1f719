from __future__ import annotations

import pytest

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import DEEP_LEARNING, UBUNTU, GcpConfig
from dstack_cloud.backends.gcp.resources.images import Catalogue
from dstack_cloud.errors import InvalidConfiguration
from tests.fakes.gcp import GoogleCloud

pytestmark = pytest.mark.google


@pytest.mark.parametrize("name", [UBUNTU, DEEP_LEARNING])
def test_an_image_by_family_or_name(config: GcpConfig, name: str, google: GoogleCloud) -> None:
    images = Catalogue(GcpClient(config))
    found = images.find(name)
    project, _, _ = name.partition("/")
    assert found.link.startswith(f"projects/{project}/global/images/") and found.size >= 10 * 2**30
    assert images.find(f"{project}/{found.link.rpartition('/')[2]}") == found
    images.find(name)
    assert google.calls("images.getFromFamily") == 2


def test_an_image_that_is_not_there(config: GcpConfig) -> None:
    with pytest.raises(InvalidConfiguration, match="no image ubuntu-os-cloud/nope"):
        Catalogue(GcpClient(config)).find("ubuntu-os-cloud/nope")

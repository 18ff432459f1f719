from __future__ import annotations

import pytest

from dstack_cloud.storage.store import ObjectStore, open_store


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> ObjectStore:
    return open_store((tmp_path / "store").as_uri() if request.param == "file" else "memory://")

from __future__ import annotations

import pytest

from dstack_cloud.backends.base.access import is_in, place_of


@pytest.mark.parametrize(
    ("store", "place"),
    [
        ("s3://bucket", ("bucket", "")),
        ("gs://bucket/a/b/", ("bucket", "a/b/")),
        ("az://container/team/a", ("container", "team/a/")),
    ],
)
def test_a_store_is_a_bucket_and_perhaps_a_folder(store: str, place: tuple[str, str]) -> None:
    assert place_of(store) == place


def test_a_store_is_in_the_cloud_that_its_scheme_names() -> None:
    assert is_in("s3://bucket", "s3")
    assert not is_in("s3://bucket", "gs") and not is_in("/a/folder", "s3")

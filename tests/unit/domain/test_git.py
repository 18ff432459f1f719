from __future__ import annotations

import pytest

from dstack_cloud.domain.git import without_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@host/a.git", "https://host/a.git"),
        ("https://me:pass@word@host:8443/a@b.git", "https://host:8443/a@b.git"),
        ("ssh://git:pass@host:22/a", "ssh://git@host:22/a"),
        ("git@host:me/a.git", "git@host:me/a.git"),
        ("https://host/a", "https://host/a"),
        ("/srv/a.git", "/srv/a.git"),
        ("", ""),
    ],
)
def test_no_credential_of_a_url_is_kept(url: str, shown: str) -> None:
    assert without_credentials(url) == shown

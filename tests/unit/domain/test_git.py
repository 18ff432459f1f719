from __future__ import annotations

import pytest

from dstack_cloud.domain.git import Server, server_of, without_credentials
from dstack_cloud.errors import UsageError


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


@pytest.mark.parametrize(
    ("remote", "server"),
    [
        ("git@host:me/a.git", Server("ssh", "host", 0)),
        ("host:a", Server("ssh", "host", 0)),
        ("ssh://git@host:2222/a", Server("ssh", "host", 2222)),
        ("ssh://git@[::1]:22/a", Server("ssh", "::1", 22)),
        ("https://host/a", Server("https", "host", 0)),
        ("http://127.0.0.1:8080/a", Server("http", "127.0.0.1", 8080)),
    ],
)
def test_where_a_remote_is(remote: str, server: Server) -> None:
    assert server_of(remote) == server


@pytest.mark.parametrize(
    "remote", ["", "/srv/a", "file:///srv/a", "https://", "https://a b/c", "ho'st:x", "./a:b", "ftp://h/a"]
)
def test_what_no_job_could_reach(remote: str) -> None:
    with pytest.raises(UsageError):
        server_of(remote)

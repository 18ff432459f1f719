from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.secrets import Secret

TOKEN = Secret("main", "TOKEN", b"\x00\xff", 1.5)


def test_each_project_has_its_own(database):
    other = replace(TOKEN, project="other", sealed=b"")
    for secret in (TOKEN, other, replace(TOKEN, name="A")):
        database.secrets.add(secret)
    assert database.secrets.of_project("main") == [replace(TOKEN, name="A"), TOKEN]
    assert database.secrets.of_project("other") == [other]
    assert database.secrets.of_project("none") == []


def test_adding_updating_and_deleting(database):
    assert not database.secrets.update(TOKEN)
    database.secrets.add(TOKEN)
    with pytest.raises(errors.Conflict, match="TOKEN already"):
        database.secrets.add(TOKEN)
    newer = replace(TOKEN, sealed=b"new", updated_at=2.0)
    assert database.secrets.update(newer)
    assert database.secrets.of_project("main") == [newer]
    assert not database.secrets.delete("other", "TOKEN")
    assert database.secrets.delete("main", "TOKEN")
    assert database.secrets.of_project("main") == []

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.jobs import Confidential, RegistryAuth
from dstack_cloud.services.sealing import load_sealer, write_once

SECRETS = Confidential(env={"TOKEN": "s3cret"}, registry_auth=RegistryAuth(username="me", password="pw"))


def test_what_was_sealed_is_opened_with_the_same_key_only(tmp_path: Path) -> None:
    sealed = load_sealer(tmp_path / "key").seal(SECRETS)
    assert load_sealer(tmp_path / "key").open(sealed) == SECRETS
    assert b"s3cret" not in sealed
    with pytest.raises(errors.ConfigurationError, match="isn't the one"):
        load_sealer(tmp_path / "other").open(sealed)


def test_a_job_from_before_has_nothing_sealed(tmp_path: Path) -> None:
    assert load_sealer(tmp_path / "key").open(b"") == Confidential()


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    load_sealer(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44])
def test_a_broken_key_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match="isn't a key"):
        load_sealer(tmp_path / "key")


def test_what_is_written_once_stays(tmp_path: Path) -> None:
    write_once(tmp_path / "a", b"1")
    write_once(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 1

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.orchestrator.links import RunnerLinks


def test_both_host_keys_are_known_before_the_machine_is(tmp_path: Path) -> None:
    made = KeyStore(tmp_path).make("i-1")
    assert made.next_host is not None
    assert made.host_keys == (made.next_host.public, made.host.public)
    assert KeyStore(tmp_path).make("i-1") == made


def test_what_is_kept_of_machines_that_are_no_more_is_swept(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys")
    links = RunnerLinks(keys)
    links.sweep(list)  # nothing was ever kept
    for instance_id in ("i-1", "i-2"):
        keys.make(instance_id)
    keys.mark_carrier("i-3", "server")
    links.sweep(lambda: {"i-2"})
    assert keys.known() == ["i-2"]


def test_once_confirmed_only_the_new_one_opens(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    made = keys.make("i-1")
    assert made.next_host is not None
    keys.confirm_host_key("i-1")
    keys.confirm_host_key("i-1")
    assert keys.load("i-1").host_keys == (made.next_host.public,)
    assert keys.load("i-1").client == made.client


def test_a_crash_while_it_is_confirmed_locks_nobody_out(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    made = keys.make("i-1")
    assert made.next_host is not None
    (tmp_path / "i-1" / "next_host").replace(tmp_path / "i-1" / "host")
    assert made.next_host.public in keys.load("i-1").host_keys
    keys.confirm_host_key("i-1")
    assert keys.load("i-1").host_keys == (made.next_host.public,)


def test_what_is_remembered_of_a_machine(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    assert (keys.installed("i-1"), keys.carrier("i-1")) == (None, "")
    keys.mark_installed("i-1", {"python": "3.11"})
    keys.mark_carrier("i-1", "machine")
    assert (KeyStore(tmp_path).installed("i-1"), KeyStore(tmp_path).carrier("i-1")) == ({"python": "3.11"}, "machine")
    keys.forget("i-1")
    assert keys.installed("i-1") is None


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    KeyStore(tmp_path).make("i-1")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "i-1").iterdir()} == {0o600}
    assert (tmp_path / "i-1").stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileNotFoundError):
        KeyStore(tmp_path).load("i-2")

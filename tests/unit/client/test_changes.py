"""What has changed in a working folder, look by look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dstack_cloud.client.changes import Folder
from dstack_cloud.client.listing import scan


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "app.py").write_text("old")
    (folder / "lib" / "a.py").write_text("a")
    (folder / ".gitignore").write_text("*.log\n")
    return folder


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Folder:
    return Folder(place, tmp_path / "home", scan(place, tmp_path / "home").entries)


def settled(folder: Folder) -> tuple[list[str], list[str]]:
    folder.look()
    written, removed = folder.look()
    return [entry.path for entry in written], removed


def test_nothing_has_changed(folder: Folder) -> None:
    assert settled(folder) == ([], [])


def test_added_changed_and_removed(folder: Folder, place: Path) -> None:
    (place / "app.py").write_text("new")
    (place / "more").mkdir()
    (place / "more" / "b.py").write_text("b")
    (place / "lib" / "a.py").unlink()
    (place / "lib").rmdir()
    (place / "it.log").write_text("ignored")
    assert settled(folder) == (["app.py", "more", "more/b.py"], ["lib/a.py", "lib"])
    folder.noted()
    assert settled(folder) == ([], [])


def test_what_is_not_noted_is_told_again(folder: Folder, place: Path) -> None:
    (place / "app.py").write_text("newer")
    assert settled(folder) == settled(folder) == (["app.py"], [])


def test_what_goes_on_changing_is_waited_for(folder: Folder, place: Path) -> None:
    for size in range(3):
        (place / "big").write_text("x" * (size + 1))
        assert not folder.look()
    assert [entry.path for entry in folder.look().written] == ["big"]


def test_of_equal_length_and_a_mode_and_a_link(folder: Folder, place: Path) -> None:
    (place / "app.py").write_text("new")
    os.utime(place / "app.py", ns=(1, 1))
    (place / "lib" / "a.py").chmod(0o755)
    (place / "link").symlink_to("app.py")
    assert settled(folder) == (["app.py", "lib/a.py", "link"], [])
    folder.noted()
    (place / "link").unlink()
    (place / "link").symlink_to("lib")
    assert settled(folder) == (["link"], [])

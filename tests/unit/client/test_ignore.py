from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstack_cloud.client.listing import scan


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def kept(folder: Path) -> set[str]:
    """The files of a snapshot, without the ignore files themselves."""
    listing = scan(folder, folder / "no-state-folder")
    return {entry.path for entry in listing.entries if entry.kind != "dir"} - {".gitignore", ".dstackignore"}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ("*.log", {"a.txt", "data/b.txt", "data/deep/d.txt"}),
        ("data", {"a.txt", "c.log"}),
        ("data/", {"a.txt", "c.log"}),
        ("/a.txt", {"c.log", "data/b.txt", "data/deep/d.txt", "data/e.log"}),
        ("b.txt", {"a.txt", "c.log", "data/deep/d.txt", "data/e.log"}),
        ("*.txt\n!b.txt", {"c.log", "data/b.txt", "data/e.log"}),
        ("data/*\n!data/deep", {"a.txt", "c.log", "data/deep/d.txt"}),
        ("data\n!data/b.txt", {"a.txt", "c.log"}),
        ("data/**", {"a.txt", "c.log"}),
        ("# data\n\n", {"a.txt", "c.log", "data/b.txt", "data/deep/d.txt", "data/e.log"}),
        ("!\n[\n*.log", {"a.txt", "data/b.txt", "data/deep/d.txt"}),
        ("**/d.txt", {"a.txt", "c.log", "data/b.txt", "data/e.log"}),
        ("*", set()),
    ],
)
def test_patterns_mean_what_they_mean_to_git(tmp_path: Path, patterns: str, left: set[str]) -> None:
    names = ("a.txt", "c.log", "data/b.txt", "data/deep/d.txt", "data/e.log")
    make(tmp_path, dict.fromkeys(names, "") | {".gitignore": patterns})
    assert kept(tmp_path) == left


def test_a_deeper_file_overrides_and_is_relative_to_its_folder(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*.log\n", "sub/.gitignore": "!keep.log\n/a.txt\n"})
    make(tmp_path, dict.fromkeys(("x.log", "sub/keep.log", "sub/a.txt", "sub/in/a.txt"), ""))
    assert kept(tmp_path) == {"sub/.gitignore", "sub/keep.log", "sub/in/a.txt"}


def test_dstackignore_decides_over_gitignore(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "weights\n", ".dstackignore": "!weights\nnotes\n", "weights": "", "notes": ""})
    assert kept(tmp_path) == {"weights"}


def test_git_itself_is_left_out_and_its_exclude_file_counts(tmp_path: Path) -> None:
    make(tmp_path, {".git/info/exclude": "private\n", ".git/config": "", "private": "", "public": ""})
    assert kept(tmp_path) == {"public"}


def test_rules_above_the_folder_count_inside_a_work_tree(tmp_path: Path) -> None:
    make(
        tmp_path,
        {".git/HEAD": "", ".gitignore": "*.ckpt\n/app/local\n", "app/model.ckpt": "", "app/local": "", "app/x": ""},
    )
    assert kept(tmp_path / "app") == {"x"}


def test_a_folder_that_the_work_tree_ignores_is_copied_whole(tmp_path: Path) -> None:
    make(tmp_path, {".git/HEAD": "", ".gitignore": "scratch/\n", "scratch/app/x": ""})
    assert kept(tmp_path / "scratch" / "app") == {"x"}


def test_ignored_folders_are_not_entered(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "closed/\n", "closed/x": "", "a": ""})
    (tmp_path / "closed" / "loop").symlink_to(tmp_path / "closed")
    assert kept(tmp_path) == {"a"}


NAMES = ("a", "b.txt", "c.log")
LINES = st.sampled_from(
    ["a", "a/", "/a", "*.log", "!b.txt", "!*.log", "a/*", "**/c.log", "b*", "a/b.txt", "*", "!a/", "?", "\\#x"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=4), inner=st.lists(LINES, max_size=2))
def test_agrees_with_git(tmp_path_factory: pytest.TempPathFactory, lines: list[str], inner: list[str]) -> None:
    folder = tmp_path_factory.mktemp("git")
    make(folder, dict.fromkeys(("b.txt", "c.log", "a/b.txt", "a/c.log", "a/a/b.txt", "d/a", "d/c.log"), ""))
    make(folder, {".gitignore": "\n".join(lines), "a/.gitignore": "\n".join(inner)})
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "init", "-q", str(folder)], check=True, env=quiet)
    told = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "--others", "--exclude-standard"],
        check=True, env=quiet, capture_output=True, text=True,
    )  # fmt: skip
    assert kept(folder) == set(told.stdout.split()) - {".gitignore"}

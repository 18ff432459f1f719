from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dstack_cloud.client import provenance

WHO = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *words: str) -> str:
    env = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", str(folder), *words], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "remote", "add", "origin", "https://me:t0ken@host/r.git")
    return tmp_path


def test_a_clean_tree_and_one_with_changes(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    seen = {"remote": "https://host/r.git", "branch": "main", "commit": commit, "dirty": False}
    assert provenance.look(repository) == seen
    (repository / "folder").mkdir()
    assert provenance.look(repository / "folder") == seen
    (repository / "b").write_text("new")
    assert provenance.look(repository) == {**seen, "dirty": True}


def test_a_detached_head_and_another_remote(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    git(repository, "remote", "rename", "origin", "there")
    looked = provenance.look(repository)
    assert looked is not None and (looked["branch"], looked["remote"]) == ("", "https://host/r.git")
    git(repository, "remote", "remove", "there")
    assert provenance.remote_of(repository) == ""


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    assert provenance.look(tmp_path) == {"remote": "", "branch": "main", "commit": "", "dirty": False}


def test_no_repository_and_no_git(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("PATH", "")
    assert provenance.look(repository) is None

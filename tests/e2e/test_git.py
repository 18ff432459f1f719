"""What a run knows of the Git repository that it was submitted from."""

from __future__ import annotations

from tests.e2e.conftest import User
from tests.unit.client.test_provenance import git


def test_a_run_records_where_its_source_came_from(user: User) -> None:
    user.workflows("workflows: {name: x, commands: [echo done]}")
    user("run", "x")
    assert user.runs()[0]["git"] is None
    git(user.folder, "init", "-q", "-b", "feature")
    git(user.folder, "add", ".")
    git(user.folder, "commit", "-qm", "one")
    git(user.folder, "remote", "add", "origin", "https://me:t0ken@host/r.git")
    user("run", "x")
    commit = git(user.folder, "rev-parse", "HEAD")
    seen = {"remote": "https://host/r.git", "branch": "feature", "commit": commit, "dirty": False}
    assert user.runs()[0]["git"] == seen
    user.write("new.txt", "x")
    user("run", "x")
    line = f"git     feature {commit[:12]} of https://host/r.git, with changes that were not committed"
    assert line in user("ps", "-v").text

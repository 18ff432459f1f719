"""What Git says of a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.domain.git import without_credentials

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import GitView

# a tree that takes longer to look at isn't waited for
PATIENCE = 10.0


def look(folder: Path) -> GitView | None:
    """None where there is no repository, or no Git."""
    status = _git(folder, "status", "--porcelain=v2", "--branch")
    if status is None:
        return None
    lines = status.splitlines()
    told = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# ") and " " in line[2:])
    commit, branch = told.get("branch.oid", ""), told.get("branch.head", "")
    return {
        "remote": without_credentials(_remote(folder, told.get("branch.upstream", ""))),
        "branch": "" if branch == "(detached)" else branch,
        "commit": "" if commit == "(initial)" else commit,
        "dirty": any(not line.startswith("#") for line in lines),
    }


def remote_of(folder: Path) -> str:
    """The URL that its branch is pushed to or fetched from, as Git would use it; "" where there is none."""
    upstream = _git(folder, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
    return _remote(folder, (upstream or "").strip())


def _remote(folder: Path, upstream: str) -> str:
    """That of the branch's upstream, else `origin`, else the only one."""
    names = (_git(folder, "remote") or "").split()
    tracked = [name for name in names if upstream.startswith(f"{name}/")]
    for name in [*tracked, "origin", *(names if len(names) == 1 else [])]:
        if name in names:
            return (_git(folder, "remote", "get-url", name) or "").strip()
    return ""


def _git(folder: Path, *words: str) -> str | None:
    # looks only: takes no locks, and starts no monitor that the repository's own settings name
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode(errors="replace") if answer.returncode == 0 else None

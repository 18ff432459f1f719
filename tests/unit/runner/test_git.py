"""What lets Git inside a job reach private remotes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import container, git
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import parse_job

KEY = {"host": "h", "key": "PRIVATE", "known_hosts": "h ssh-ed25519 A\n"}
TOKEN = {"origin": "https://h:8443", "username": "me's", "variable": "T"}


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Username for 'https://h:8443': ", "me's\n"),
        ("Password for 'https://me%27s@h:8443': ", "t0ken\n"),
        ("Password for 'https://me@h:8443/r.git': ", "t0ken\n"),
        ("Password for 'https://me@h:84431': ", ""),
        ("Password for 'https://me@h': ", ""),
        ("Password for 'http://me@h:8443': ", ""),
        ("Username for 'https://other:8443': ", ""),
    ],
)
def test_a_token_goes_to_its_own_server_only(tmp_path: Path, prompt: str, answer: str) -> None:
    git.write([TOKEN], tmp_path / "git", str(tmp_path / "git"), shared=False)
    asked = [git.environment([TOKEN], str(tmp_path / "git"))["GIT_ASKPASS"], prompt]
    assert subprocess.run(asked, env={"T": "t0ken"}, capture_output=True, text=True).stdout == answer


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o600), (True, 0o644)])
def test_who_may_read_a_key(tmp_path: Path, shared: bool, mode: int) -> None:
    git.write([KEY], tmp_path / "git", "/inside", shared=shared)
    assert (tmp_path / "git" / "key-0").stat().st_mode & 0o777 == mode
    assert 'IdentityFile "/inside/key-0"' in (tmp_path / "git" / "ssh_config").read_text()


def test_a_container_sees_them_read_only_and_what_is_kept_has_none(tmp_path: Path) -> None:
    job = parse_job({"attempt": "a", "mode": "docker", "image": "x", "git": [KEY, TOKEN]})
    made = container.config(job, Folder(tmp_path))
    assert f"{tmp_path}/git:/etc/dstack/git:ro" in made["HostConfig"]["Binds"]
    assert {"GIT_ASKPASS=/etc/dstack/git/askpass", "GIT_SSH_COMMAND=ssh -F /etc/dstack/git/ssh_config"} <= set(
        made["Env"]
    )
    assert job.masked() == ["PRIVATE"]
    assert "PRIVATE" not in str(job.without_secrets())


def test_without_logins_nothing_is_different(tmp_path: Path) -> None:
    git.write([], tmp_path / "git", "/inside", shared=False)
    assert git.environment([], "/inside") == {}
    assert not (tmp_path / "git").exists()

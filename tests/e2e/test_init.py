"""Private Git remotes that jobs reach: over SSH with a key, over HTTP with a token."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import User, files_with, until
from tests.e2e.test_run import commands
from tests.fakes import git_http
from tests.unit.client.test_provenance import git
from tests.unit.ssh import sshd

TOKEN = "t0ken-of-the-remote"
CLONE = """
    workflows:
      - name: clone
        commands:
          - git clone -q {remote} got
          - git -C got -c protocol.file.allow=never fetch -q origin && cat got/private.txt
          - until [ -e ~/go ]; do sleep 0.05; done
"""

pytestmark = pytest.mark.skipif(sshd.PROGRAM is None, reason="no sshd is installed")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A bare repository `served/r.git` with one file."""
    work, served = tmp_path / "origin", tmp_path / "served"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "private.txt").write_text("only for those who may\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "one")
    git(work, "clone", "-q", "--bare", ".", str(served / "r.git"))
    return served


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[sshd.Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    made = sshd.make(folder)
    made.start()
    yield made
    made.kill()


def at_home(user: User, machine: sshd.Sshd) -> Path:
    """The user's own home folder, where that server is known; the key."""
    home = user.folder.parent / "user"
    (home / ".ssh").mkdir(parents=True)
    host = machine.host.public.split()[:2]
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{machine.port} {' '.join(host)}\n")
    (home / "key").write_text(machine.client.private)
    user.env["HOME"] = str(home)
    return home / "key"


def clone(user: User, remote: str, secret: str) -> None:
    """Runs it, and looks for the secret wherever it must not be."""
    user.workflows(CLONE.format(remote=remote))
    name = user.submit("clone")
    user.wait_for_log(name, "only for those who may")
    assert not [line for line in commands() if secret in line]
    records = [path.read_bytes() for path in user.home.glob("runners/*/state.json")]
    assert records and not [record for record in records if secret.encode() in record]
    for path in (user.home / "runners").glob("*/home"):
        (path / "go").touch()
    assert user.wait(name)["status"] == "done"
    until(lambda: not kept(user, secret))
    assert secret not in user("logs", name).text + user("ps", "-a", "--json").text + user("init", "--json").text


def kept(user: User, secret: str) -> list[Path]:
    return files_with(user.home, secret.encode())


def test_over_ssh_with_a_key(user: User, bare: Path, machine: sshd.Sshd) -> None:
    key = at_home(user, machine)
    remote = f"ssh://{machine.endpoint.user}@127.0.0.1:{machine.port}{bare}/r.git"
    git(user.folder, "init", "-q")
    git(user.folder, "remote", "add", "origin", remote)
    assert f"no credential for {remote}; where it is private: `dstack init --private-key PATH`" in user("init").err
    assert f"can reach {remote}" in user("init", "--private-key", str(key)).text
    clone(user, remote, machine.client.private.splitlines()[2])
    assert json.loads(user("init", "--json").out)[0]["kind"] == "key"
    user("init", "--delete")
    assert json.loads(user("init", "--json").out) == []


def test_over_http_with_a_token(user: User, bare: Path) -> None:
    with git_http.serving(bare, "x-access-token", TOKEN) as origin:
        remote = f"{origin}/r.git"
        user.workflows(CLONE.format(remote=remote))
        process = user.start("init", "--remote", remote, "--token", "-", stdin=subprocess.PIPE)
        out, err = process.communicate(f"{TOKEN}\n".encode())
        assert process.returncode == 0, err
        assert TOKEN.encode() not in out + err
        clone(user, remote, TOKEN)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--token", "x"), "there is no Git remote here"),
        (("--token", "x", "--private-key", "k"), "which of them?"),
        (("--remote", "git@host:a.git", "--token", "x"), "is reached by ssh, which takes no token"),
        (("--remote", "https://host/a.git", "--private-key", "key"), "is reached by https, which takes no key"),
        (("--remote", "/srv/a.git", "--token", "x"), "is no remote that a job could reach"),
        (("--remote", "git@host:a.git", "--private-key", "nope"), "the key nope can't be read: No such file"),
        (("--remote", "git@host:a.git", "--private-key", "text"), "the key is no private key"),
        (
            ("--remote", "git@unknown.invalid:a.git", "--private-key", "key"),
            "the host key of unknown.invalid isn't known",
        ),
        (("--remote", "https://me:pw@host/a.git", "--delete"), "there is no credential for https://host/a.git"),
    ],
)
def test_slips(user: User, machine: sshd.Sshd, words: tuple[str, ...], said: str) -> None:
    at_home(user, machine)
    user.write("key", machine.client.private)
    user.write("text", "no key")
    answer = user("init", *words, code=2)
    assert said in answer.err

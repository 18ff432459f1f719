"""Who is trusted, and on what way."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Jump, Trust
from tests.unit.ssh import sshd as daemon
from tests.unit.ssh.sshd import Sshd


def fingerprint(sshd: Sshd) -> str:
    (sshd.folder / "host_key.pub").write_text(sshd.host.public)
    shown = subprocess.check_output(["ssh-keygen", "-lf", str(sshd.folder / "host_key.pub")], text=True)
    return shown.split()[1]


def key_of_kind(sshd: Sshd, *options: str, passphrase: str = "") -> str:
    """A user's own key file, let in by the machine."""
    file = sshd.folder / "own"
    subprocess.run(["ssh-keygen", "-q", *options, "-N", passphrase, "-f", str(file)], check=True)
    with (sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write(Path(f"{file}.pub").read_text())
    return file.read_text()


def test_a_fingerprint_stands_for_the_host_key(sshd: Sshd) -> None:
    made = Connection(sshd.endpoint, replace(sshd.trust, host_keys=(fingerprint(sshd),)))
    assert made.run("echo hi").out == b"hi\n"
    assert [key.split()[:2] for key in made.shown.host_keys] == [sshd.host.public.split()[:2]]
    made.close()


def test_another_fingerprint_is_refused(sshd: Sshd) -> None:
    with pytest.raises(HostKeyMismatch, match="another host key"):
        Connection(sshd.endpoint, replace(sshd.trust, host_keys=("SHA256:" + "A" * 43,)))


def test_a_machine_behind_another(sshd: Sshd, jump: Sshd) -> None:
    trust = replace(sshd.trust, jumps=(Jump(str(jump.endpoint), jump.trust),))
    made = Connection(sshd.endpoint, trust)
    assert made.run("wc -c", b"x" * 3_000_000).out.strip() == b"3000000"
    jump.kill()
    with pytest.raises(SshError):
        made.run("echo hi")
    made.close()


def test_the_machine_in_between_is_pinned_too(sshd: Sshd, jump: Sshd) -> None:
    stranger = replace(jump.trust, host_keys=(keys.generate().public,))
    with pytest.raises(HostKeyMismatch, match=str(jump.port)):
        Connection(sshd.endpoint, replace(sshd.trust, jumps=(Jump(str(jump.endpoint), stranger),)))


def test_a_machine_that_the_one_in_between_cannot_reach(sshd: Sshd, jump: Sshd) -> None:
    nobody = Endpoint("nobody", "127.0.0.1", daemon.free_port())
    with pytest.raises(SshError, match=f"through 127.0.0.1:{jump.port}"):
        Connection(nobody, replace(sshd.trust, jumps=(Jump(str(jump.endpoint), jump.trust),)))


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa"), ("-t", "rsa", "-m", "PEM"), ("-t", "ecdsa", "-m", "PEM")],
)
def test_keys_of_every_kind(sshd: Sshd, options: tuple[str, ...]) -> None:
    Connection(sshd.endpoint, Trust(key_of_kind(sshd, *options), (sshd.host.public,))).close()


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-m", "PEM")])
def test_a_key_with_a_passphrase_says_what_to_do(sshd: Sshd, options: tuple[str, ...]) -> None:
    text = key_of_kind(sshd, *options, passphrase="a secret")
    with pytest.raises(SshError, match="passphrase") as caught:
        Connection(sshd.endpoint, Trust(text, (sshd.host.public,)))
    assert "ssh-add" in (caught.value.hint or "")
    assert not caught.value.retryable


def test_what_is_no_private_key_is_refused(sshd: Sshd) -> None:
    with pytest.raises(SshError, match="no private key"):
        Connection(sshd.endpoint, Trust(sshd.client.public, (sshd.host.public,)))


def test_without_a_key_the_agents_are_tried(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    key_of_kind(sshd, "-t", "ed25519")
    socket = str(sshd.folder / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    assert agent.stdout and agent.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    nobody = Trust("", (sshd.host.public,))
    with pytest.raises(SshError, match="no agent holds one"):
        Connection(sshd.endpoint, nobody)
    subprocess.run(["ssh-add", "-q", str(sshd.folder / "own")], env=dict(os.environ), check=True)
    Connection(sshd.endpoint, nobody).close()
    agent.kill()
    agent.communicate()

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.ssh.endpoint import Endpoint, Trust, parse_endpoint
from tests.unit.ssh.sshd import Sshd, free_port, sessions


def test_a_command_gives_its_output_errors_and_exit_code(connection: Connection) -> None:
    done = connection.run("echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, b"out\n", b"err\n")


def test_standard_input_arrives_whole_and_ends(connection: Connection) -> None:
    chunks = [bytes([n]) * 70_000 for n in range(20)]
    done = connection.run("cat", iter(chunks))
    assert done.out == b"".join(chunks)


def test_a_long_input_takes_longer_than_the_patience_with_silence(connection: Connection) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(12):
            time.sleep(0.1)
            yield b"x" * 1000

    assert connection.run("wc -c", slowly(), timeout=0.4).out.strip() == b"12000"


def test_an_input_that_fails_is_the_callers_error(connection: Connection) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise LookupError("no more")

    with pytest.raises(LookupError):
        connection.run("cat", broken())
    assert connection.run("echo still here").out == b"still here\n"


def test_a_large_input_in_one_piece(connection: Connection) -> None:
    assert connection.run("wc -c", b"x" * 100_000_000).out.strip() == b"100000000"


def test_silence_is_an_error_after_the_timeout(connection: Connection) -> None:
    with pytest.raises(SshError, match="said nothing"):
        connection.run("sleep 600", timeout=0.2)


def test_a_command_may_leave_its_input_unread_and_write_much(connection: Connection) -> None:
    done = connection.run("head -c 30000000 /dev/zero; head -c 3000000 /dev/zero >&2", b"x" * 5_000_000)
    assert (done.code, len(done.out), len(done.err)) == (0, 30_000_000, 3_000_000)


def test_a_signal_is_no_success(connection: Connection) -> None:
    with pytest.raises(SshError):
        connection.run("kill -9 $$")


def test_another_host_key_than_the_pinned_one_is_refused(sshd: Sshd) -> None:
    with pytest.raises(HostKeyMismatch, match="another host key") as caught:
        Connection(sshd.endpoint, Trust(sshd.client.private, (keys.generate().public,)))
    assert not caught.value.retryable


def test_any_of_several_pinned_keys_is_accepted(sshd: Sshd) -> None:
    trust = Trust(sshd.client.private, (keys.generate().public, sshd.host.public))
    Connection(sshd.endpoint, trust).close()


def test_no_pinned_key_trusts_nobody(sshd: Sshd) -> None:
    with pytest.raises(HostKeyMismatch):
        Connection(sshd.endpoint, Trust(sshd.client.private, ()))


def test_a_machine_that_has_only_a_key_of_another_kind_is_refused(sshd: Sshd) -> None:
    rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"
    with pytest.raises(HostKeyMismatch):
        Connection(sshd.endpoint, Trust(sshd.client.private, (rsa,)))


def test_a_client_key_that_is_not_authorized_says_where_it_must_be(sshd: Sshd) -> None:
    with pytest.raises(SshError, match="refuses our key") as caught:
        Connection(sshd.endpoint, Trust(keys.generate().private, (sshd.host.public,)))
    assert "authorized_keys" in (caught.value.hint or "")


def test_nobody_listening_is_worth_another_try() -> None:
    pair = keys.generate()
    with pytest.raises(SshError, match="doesn't answer") as caught:
        Connection(Endpoint("nobody", "127.0.0.1", free_port()), Trust(pair.private, (pair.public,)))
    assert caught.value.retryable


def test_a_machine_that_dies_is_noticed(sshd: Sshd, connection: Connection) -> None:
    stream = connection.dial("sleep 600")
    sshd.kill()
    with pytest.raises(ConnectionResetError):
        stream.recv(1)
    assert not connection.alive
    with pytest.raises(SshError):
        connection.run("true")


def test_more_than_half_a_gigabyte_and_many_ends_on_the_way(connection: Connection) -> None:
    # paramiko would ask for new keys after 512 MB, and block itself where a command ends just then
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: connection.run("head -c 7000000 /dev/zero"), range(90)))
    assert {len(each.out) for each in done} == {7_000_000}


def test_a_machine_that_dies_in_the_middle_of_an_upload(sshd: Sshd, connection: Connection) -> None:
    def endless() -> Iterator[bytes]:
        yield bytes(1_000_000)
        sshd.kill()
        while True:
            yield bytes(1_000_000)

    with pytest.raises(SshError, match="broke off"):
        connection.run("cat >/dev/null", endless())


def test_a_machine_that_falls_silent_is_given_up(sshd: Sshd) -> None:
    assert sshd.process
    made = Connection(sshd.endpoint, sshd.trust, silence=0.5)
    stream = made.dial("sleep 600")
    for pid in sessions(sshd.process.pid):
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ConnectionResetError):
        stream.recv(1)  # its own timeout would be none
    assert not made.alive


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("ssh:dstack@10.0.0.1:22", Endpoint("dstack", "10.0.0.1", 22)),
        ("ssh:a.b@c@host.example:2200", Endpoint("a.b@c", "host.example", 2200)),
        ("ssh:me@[fd00::1]:22", Endpoint("me", "fd00::1", 22)),
    ],
)
def test_endpoints_are_read(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "unix:/a", "ssh:host:22", "ssh:me@host", "ssh:me@host:x", "ssh:@host:22"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(SshError, match="no SSH endpoint"):
        parse_endpoint(text)

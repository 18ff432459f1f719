"""How a connection begins: the way to the machine, its pinned host key, our key.

There is no trust on first use: a machine that shows another key than those pinned is refused.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import private_keys
from dstack_cloud.ssh.endpoint import FINGERPRINT, Endpoint, Trust, parse_endpoint
from dstack_cloud.ssh.ordering import OrderedTransport
from dstack_cloud.ssh.wire import Wire, connect

# So often a machine that says nothing is asked whether it is there; after two answers that didn't come it is given up
KEEPALIVE_SECONDS = 9
UNHEARD = 2
# At 40 ms of round trip a window of 2 MiB caps a stream at 40 MB/s, one of 16 MiB at about 300
WINDOW_BYTES = 16 << 20
PACKET_BYTES = 1 << 17
# New keys are asked for as late as OpenSSH's own client does with ciphers of 16-byte blocks (RFC 4344, 3.2), not after
# paramiko's 512 MB: its one thread, while it waits for the new keys, can't answer a channel's end and blocks itself
REKEY_BYTES = 1 << 36
REKEY_PACKETS = 1 << 31
# Preferred where the machine has them: the processor does their work
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


@dataclass(frozen=True)
class Session:
    """`way` are the connections through which it goes, the nearest to us first; `shown` is what each of the machines has
    proved to be: the trust it was given, with host keys in place of fingerprints."""

    transport: paramiko.Transport
    way: tuple[paramiko.Transport, ...]
    shown: Trust

    def close(self) -> None:
        for transport in (self.transport, *reversed(self.way)):
            transport.close()


@dataclass(frozen=True)
class Patience:
    """Seconds: `step` for each step of connecting, `silence` before a machine that says nothing is asked whether it is there."""

    step: float = 10.0
    silence: float = KEEPALIVE_SECONDS


def log_in(endpoint: Endpoint, trust: Trust, patience: Patience) -> Session:
    """Raises HostKeyMismatch, SshError."""
    way: list[paramiko.Transport] = []
    jumps = []
    try:
        for jump in trust.jumps:
            place = parse_endpoint(jump.endpoint)
            way.append(_open(place, jump.trust, way, patience))
            jumps.append(replace(jump, trust=_shown(way[-1], jump.trust)))
        transport = _open(endpoint, trust, way, patience)
    except BaseException:
        for opened in reversed(way):
            opened.close()
        raise
    return Session(transport, tuple(way), replace(_shown(transport, trust), jumps=tuple(jumps)))


def _shown(transport: paramiko.Transport, trust: Trust) -> Trust:
    key = transport.get_remote_server_key()
    return replace(trust, host_keys=(f"{key.get_name()} {key.get_base64()}",))


def _open(endpoint: Endpoint, trust: Trust, way: list[paramiko.Transport], patience: Patience) -> paramiko.Transport:
    wire = Wire(_through(way[-1], endpoint, patience.step) if way else _directly(endpoint, patience.step))
    # paramiko's own stubs know only sockets
    transport = OrderedTransport(
        cast(socket.socket, wire), default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES
    )
    transport.packetizer.REKEY_BYTES = REKEY_BYTES
    transport.packetizer.REKEY_PACKETS = REKEY_PACKETS
    transport.daemon = True
    transport.banner_timeout = transport.auth_timeout = patience.step
    try:
        _authenticate(transport, endpoint, trust, patience.step)
    except BaseException:
        transport.close()
        raise
    transport.packetizer.set_keepalive(patience.silence, lambda: _ask_whether_it_is_there(transport, wire))
    return transport


def _directly(endpoint: Endpoint, timeout: float) -> socket.socket:
    try:
        return connect(endpoint.host, endpoint.port, timeout)
    except OSError as cause:
        raise SshError(
            f"{endpoint.address} doesn't answer: {words(cause)}",
            f"if the machine isn't still booting, see that its port {endpoint.port} can be reached from here",
        ) from cause


def _through(jump: paramiko.Transport, endpoint: Endpoint, timeout: float) -> paramiko.Channel:
    try:
        return jump.open_channel("direct-tcpip", (endpoint.host, endpoint.port), ("127.0.0.1", 0), timeout=timeout)
    except (OSError, EOFError, paramiko.SSHException) as cause:
        host, port = jump.getpeername()[:2]
        raise SshError(
            f"{endpoint.address} can't be reached through {host}:{port}: {words(cause)}",
            f"see that the machine in between allows forwarding, and reaches port {endpoint.port} there",
        ) from cause


def _authenticate(transport: paramiko.Transport, endpoint: Endpoint, trust: Trust, timeout: float) -> None:
    # the machine may have keys of several kinds: ask for one that we know
    options = transport.get_security_options()
    options.key_types = _kinds(options.key_types, trust)
    options.ciphers = sorted(options.ciphers, key=_cipher_rank)
    try:
        transport.start_client(timeout=timeout)
        _check(endpoint, transport.get_remote_server_key(), trust)
        private_keys.authenticate(transport, endpoint, trust.client_key)
    except IncompatiblePeer as cause:
        raise HostKeyMismatch(
            f"{endpoint.address} has no host key of the kind that is pinned for it ({cause})",
            "something else answers at that address, or the pinned key isn't that machine's",
        ) from cause
    except (paramiko.SSHException, OSError, EOFError) as cause:
        raise SshError(f"{endpoint.address} broke off while connecting: {words(cause)}") from cause


def _kinds(offered: Sequence[str], trust: Trust) -> list[str]:
    """A fingerprint doesn't tell a key's kind: with one pinned, any may be shown."""
    if any(line.startswith(FINGERPRINT) for line in trust.host_keys):
        return list(offered)
    pinned = {line.split()[0] for line in trust.host_keys if line.strip()}
    # one key, three ways to sign with it
    rsa = {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in pinned else set()
    return [kind for kind in offered if kind in pinned | rsa]


def _check(endpoint: Endpoint, shown: paramiko.PKey, trust: Trust) -> None:
    fingerprint = str(shown.fingerprint)
    for line in trust.host_keys:
        if line.startswith(FINGERPRINT):
            if line.strip().rstrip("=") == fingerprint:
                return
        elif line.split()[:2] == [shown.get_name(), shown.get_base64()]:
            return
    raise HostKeyMismatch(
        f"{endpoint.address} showed another host key than the one pinned for it ({shown.get_name()} {fingerprint})",
        "something else answers at that address, or someone sits in between: a machine made for a job should be "
        "terminated, for one of your own compare with what `ssh-keyscan` says on the machine itself",
    )


def _cipher_rank(cipher: str) -> int:
    return FAST_CIPHERS.index(cipher) if cipher in FAST_CIPHERS else len(FAST_CIPHERS)


def _ask_whether_it_is_there(transport: paramiko.Transport, wire: Wire) -> None:
    """Called by the connection's own thread when nothing was sent for a while: it must not wait for an answer itself."""
    if wire.unheard >= UNHEARD:
        transport.close()
    elif transport.clear_to_send.is_set():
        wire.unheard += 1
        question = paramiko.Message()
        question.add_byte(bytes([paramiko.common.MSG_GLOBAL_REQUEST]))
        question.add_string("keepalive@openssh.com")
        question.add_boolean(True)
        transport.packetizer.send_message(question)


def words(cause: BaseException) -> str:
    return str(cause) or type(cause).__name__

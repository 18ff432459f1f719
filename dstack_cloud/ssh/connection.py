"""One authenticated connection to a machine whose host key is known beforehand.

There is no trust on first use: a machine that shows another key than those pinned is refused. Nothing of the user's own SSH
setup is read: no agent, no `~/.ssh`, no configuration.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh.channel import ChannelSocket, pieces
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from dstack_cloud.ssh.tunnel import Tunnel

KEEPALIVE_SECONDS = 15
# How long sent bytes may stay unacknowledged before the kernel gives the connection up
DEAD_MILLISECONDS = 30_000
# At 40 ms of round trip a window of 2 MiB caps a stream at 40 MB/s, one of 16 MiB at about 300
WINDOW_BYTES = 16 << 20
PACKET_BYTES = 1 << 15
CHUNK = 1 << 18
# what it has to say is for a server's log, not for a terminal on which somebody follows a job
logging.getLogger("paramiko").addHandler(logging.NullHandler())
# Preferred where the machine has them: the processor does their work
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


@dataclass(frozen=True)
class Completed:
    code: int
    out: bytes
    err: bytes


class Connection:
    """Safe to use from several threads. `timeout` is seconds for each step of connecting."""

    def __init__(self, endpoint: Endpoint, trust: Trust, *, timeout: float = 10.0) -> None:
        """Connects. Raises HostKeyMismatch, SshError."""
        self.endpoint = endpoint
        self._timeout = timeout
        self._transport = _transport(endpoint, timeout)
        try:
            self._authenticate(trust)
        except BaseException:
            self._transport.close()
            raise

    def _authenticate(self, trust: Trust) -> None:
        pinned = [tuple(line.split()[:2]) for line in trust.host_keys]
        # the machine may have keys of several kinds: ask for one that we know
        options = self._transport.get_security_options()
        options.key_types = [kind for kind in options.key_types if kind in {kind for kind, _ in pinned}]
        options.ciphers = sorted(options.ciphers, key=_cipher_rank)
        try:
            self._transport.start_client(timeout=self._timeout)
            shown = self._transport.get_remote_server_key()
            if (shown.get_name(), shown.get_base64()) not in pinned:
                raise _mismatch(self.endpoint, shown)
            self._transport.auth_publickey(self.endpoint.user, _private_key(trust.client_key))
        except paramiko.AuthenticationException as cause:
            raise _refused(self.endpoint) from cause
        except IncompatiblePeer as cause:
            raise HostKeyMismatch(
                f"{self.endpoint.address} has no host key of the kind that was made for it ({cause})",
                "something else answers at that address; the machine should be terminated",
            ) from cause
        except (paramiko.SSHException, OSError, EOFError) as cause:
            raise SshError(f"{self.endpoint.address} broke off while connecting: {_words(cause)}") from cause
        self._transport.set_keepalive(KEEPALIVE_SECONDS)

    @property
    def alive(self) -> bool:
        return self._transport.is_active() and self._transport.is_authenticated()

    def run(self, command: str, stdin: bytes | Iterable[bytes] = b"", *, timeout: float = 60.0) -> Completed:
        """Runs a shell command and waits for its end. `timeout` is seconds without output once its input is sent.

        Raises SshError.
        """
        channel = self._session(command)
        channel.settimeout(timeout)
        out, err = _Collector(channel.recv), _Collector(channel.recv_stderr)
        try:
            _feed(channel, stdin)
            self._await_silence([out, err], timeout)
            return Completed(self._exit_code(channel, timeout), bytes(out.data), bytes(err.data))
        except (OSError, paramiko.SSHException) as cause:
            raise SshError(f"the connection to {self.endpoint.address} broke off: {_words(cause)}") from cause
        finally:
            channel.close()

    def _await_silence(self, streams: list[_Collector], timeout: float) -> None:
        for stream in streams:
            while stream.is_alive():
                before = sum(len(each.data) for each in streams)
                stream.join(timeout)
                if stream.is_alive() and sum(len(each.data) for each in streams) == before:
                    raise SshError(f"a command on {self.endpoint.address} said nothing for {timeout:.1f} seconds")

    def dial(self, command: str) -> ChannelSocket:
        """A byte stream to a command's standard input and output, to be used like a connected socket. Raises SshError."""
        return ChannelSocket(self._session(command))

    def forward(self, local_port: int, host: str, port: int) -> Tunnel:
        """Serves 127.0.0.1:`local_port` (or the next free port; 0: any) with `host:port` as the machine sees it."""
        return Tunnel(local_port, lambda peer: self.direct((host, port), peer))

    def direct(self, target: tuple[str, int], peer: tuple[str, int]) -> paramiko.Channel:
        """A stream to `target` as the machine sees it; `peer` is who asks for it. Raises SshError."""
        try:
            return self._transport.open_channel("direct-tcpip", target, peer, timeout=self._timeout)
        except (OSError, EOFError, paramiko.SSHException) as cause:
            raise SshError(
                f"{target[0]}:{target[1]} on {self.endpoint.address} can't be reached: {_words(cause)}"
            ) from cause

    def close(self) -> None:
        self._transport.close()

    def _session(self, command: str) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=self._timeout)
            channel.exec_command(command)
        except (OSError, EOFError, paramiko.SSHException) as cause:
            raise SshError(f"{self.endpoint.address} opens no session: {_words(cause)}") from cause
        return channel

    def _exit_code(self, channel: paramiko.Channel, timeout: float) -> int:
        if not channel.status_event.wait(timeout) or channel.exit_status == -1:
            raise SshError(f"the connection to {self.endpoint.address} broke off before the command ended")
        return channel.exit_status


def _transport(endpoint: Endpoint, timeout: float) -> paramiko.Transport:
    try:
        sock = socket.create_connection((endpoint.host, endpoint.port), timeout)
    except OSError as cause:
        raise SshError(
            f"{endpoint.address} doesn't answer: {_words(cause)}",
            "if the machine isn't still booting, see that its port 22 can be reached from here",
        ) from cause
    # without it every small packet waits for the acknowledgement of the one before: 40 ms a connection in a tunnel
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MILLISECONDS)
    transport = paramiko.Transport(sock, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES)
    transport.daemon = True
    transport.banner_timeout = timeout
    return transport


def _private_key(text: str) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key(io.StringIO(text))


def _cipher_rank(cipher: str) -> int:
    return FAST_CIPHERS.index(cipher) if cipher in FAST_CIPHERS else len(FAST_CIPHERS)


def _feed(channel: paramiko.Channel, stdin: bytes | Iterable[bytes]) -> None:
    try:
        for chunk in (stdin,) if isinstance(stdin, bytes) else stdin:
            for piece in pieces(chunk):
                channel.sendall(piece)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        pass  # the command ended without reading all of it; its exit code tells


class _Collector(threading.Thread):
    """Reads one of a command's outputs to its end, so that neither fills its window while the other is waited for."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        super().__init__(daemon=True)
        self._receive = receive
        self.data = bytearray()
        self.start()

    def run(self) -> None:
        while True:
            try:
                chunk = self._receive(CHUNK)
            except TimeoutError:
                continue  # how long to wait is decided by the one who waits for both, and closes the channel
            if not chunk:
                return
            self.data += chunk


def _mismatch(endpoint: Endpoint, shown: paramiko.PKey) -> HostKeyMismatch:
    return HostKeyMismatch(
        f"{endpoint.address} showed another host key than the one made for it ({shown.get_name()} {shown.fingerprint})",
        "something else answers at that address, or someone sits in between; the machine should be terminated",
    )


def _refused(endpoint: Endpoint) -> SshError:
    return SshError(
        f"{endpoint.address} refuses our key for the user {endpoint.user}",
        f"see that the public key is in ~{endpoint.user}/.ssh/authorized_keys on the machine",
    )


def _words(cause: BaseException) -> str:
    return str(cause) or type(cause).__name__

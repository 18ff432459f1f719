"""One authenticated connection to a machine whose host key is known beforehand (`login`), and what can be done over it.

Nothing of the user's own SSH setup is read: no `~/.ssh`, no configuration.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import paramiko

from dstack_cloud.errors import SshError
from dstack_cloud.ssh.channel import ChannelSocket, pieces
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from dstack_cloud.ssh.login import KEEPALIVE_SECONDS, Patience, log_in, words
from dstack_cloud.ssh.tunnel import Tunnel

CHUNK = 1 << 20
# what it has to say is for a server's log, not for a terminal on which somebody follows a job
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Completed:
    code: int
    out: bytes
    err: bytes


class Connection:
    """Safe to use from several threads. `timeout` is seconds for each step of connecting; a machine that says nothing for
    three times `silence` seconds is given up."""

    def __init__(
        self, endpoint: Endpoint, trust: Trust, *, timeout: float = 10.0, silence: float = KEEPALIVE_SECONDS
    ) -> None:
        """Connects. Raises HostKeyMismatch, SshError."""
        self.endpoint = endpoint
        self._timeout = timeout
        self._session = log_in(endpoint, trust, Patience(timeout, silence))
        self._transport = self._session.transport

    @property
    def shown(self) -> Trust:
        """The trust it was made with, with the host keys that the machines have shown in place of fingerprints."""
        return self._session.shown

    @property
    def alive(self) -> bool:
        return self._transport.is_active() and self._transport.is_authenticated()

    def run(self, command: str, stdin: bytes | Iterable[bytes] = b"", *, timeout: float = 60.0) -> Completed:
        """Runs a shell command and waits for its end. `timeout` is seconds without output once its input is sent.

        Raises SshError.
        """
        channel = self._execute(command)
        channel.settimeout(timeout)
        out, err = _Collector(channel.recv), _Collector(channel.recv_stderr)
        try:
            _feed(channel, stdin)
            self._await_silence([out, err], timeout)
            return Completed(self._exit_code(channel, timeout), bytes(out.data), bytes(err.data))
        except (OSError, EOFError, paramiko.SSHException) as cause:
            raise SshError(f"the connection to {self.endpoint.address} broke off: {words(cause)}") from cause
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
        return ChannelSocket(self._execute(command))

    def interact(self, command: str, *, terminal: bool) -> int:
        """Joins a command ("": a shell) to this process's standard streams; returns its exit code. Raises SshError."""
        from dstack_cloud.ssh.terminal import interact

        try:
            return interact(self._transport.open_session(timeout=self._timeout), command, terminal=terminal)
        except (EOFError, paramiko.SSHException) as cause:
            raise SshError(f"the connection to {self.endpoint.address} broke off: {words(cause)}") from cause

    def forward(self, local_port: int, host: str, port: int) -> Tunnel:
        """Serves 127.0.0.1:`local_port` (or the next free port; 0: any) with `host:port` as the machine sees it."""
        return Tunnel(local_port, lambda peer: self.direct((host, port), peer))

    def direct(self, target: tuple[str, int], peer: tuple[str, int]) -> paramiko.Channel:
        """A stream to `target` as the machine sees it; `peer` is who asks for it. Raises SshError."""
        try:
            return self._transport.open_channel("direct-tcpip", target, peer, timeout=self._timeout)
        except (OSError, EOFError, paramiko.SSHException) as cause:
            raise SshError(
                f"{target[0]}:{target[1]} on {self.endpoint.address} can't be reached: {words(cause)}"
            ) from cause

    def close(self) -> None:
        self._session.close()

    def _execute(self, command: str) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=self._timeout)
            channel.exec_command(command)
        except (OSError, EOFError, paramiko.SSHException) as cause:
            raise SshError(f"{self.endpoint.address} opens no session: {words(cause)}") from cause
        return channel

    def _exit_code(self, channel: paramiko.Channel, timeout: float) -> int:
        if not channel.status_event.wait(timeout) or channel.exit_status == -1:
            raise SshError(f"the connection to {self.endpoint.address} broke off before the command ended")
        return channel.exit_status


def _feed(channel: paramiko.Channel, stdin: bytes | Iterable[bytes]) -> None:
    try:
        for chunk in (stdin,) if isinstance(stdin, bytes) else stdin:
            for piece in pieces(chunk):
                channel.sendall(piece)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except (OSError, EOFError):
        pass  # the command ended without reading all of it; its exit code tells, or that there is none


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
            except (OSError, EOFError, paramiko.SSHException):
                return  # the connection broke off: no exit code will come, and that is what is told
            if not chunk:
                return
            self.data += chunk

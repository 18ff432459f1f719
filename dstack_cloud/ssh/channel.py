"""An SSH channel that can stand where a connected socket is expected, as in `http.client`."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import paramiko

# what fits into one packet: paramiko copies all that is left of a larger buffer with each packet it sends
PIECE = (1 << 15) - 64


def pieces(data: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """`data` in parts that are cheap to send."""
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        yield bytes(view[start : start + PIECE])


class ChannelSocket:
    """The channel closes when the socket and every file made of it are closed, as a real socket's connection does.

    A connection that broke off raises ConnectionResetError; only the other side's own end is an end of file.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._users = 1
        self._closed = False

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        try:
            for piece in pieces(data):
                self._channel.sendall(piece)
        except EOFError as cause:
            raise ConnectionResetError("the SSH connection broke off") from cause

    def recv(self, size: int) -> bytes:
        data = self._channel.recv(size)
        if not data and not self._channel.eof_received:
            raise ConnectionResetError("the SSH connection broke off")
        return data

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        """A buffered reader; `mode` can only be "rb"."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: a channel is read through a file and written through sendall")
        with self._lock:
            self._users += 1
        return io.BufferedReader(_Reader(self), buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE * 8)

    def shutdown(self, how: int) -> None:
        """As of a socket: 0 for reading, 1 for writing, 2 for both."""
        self._channel.shutdown(how)

    def complaint(self) -> str:
        """What the command on the other side has written to its standard error so far."""
        parts = []
        while self._channel.recv_stderr_ready():
            parts.append(self._channel.recv_stderr(1 << 16))
        return b"".join(parts).decode(errors="replace").strip()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.release()

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._channel.close()

    def __enter__(self) -> ChannelSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader(io.RawIOBase):
    def __init__(self, owner: ChannelSocket) -> None:
        super().__init__()
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed asks for any Buffer
        data = self._owner.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.release()

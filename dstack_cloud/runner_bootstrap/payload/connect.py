"""Copies bytes between this program's stdin and stdout and a runner's socket: the far end of an SSH channel."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from pathlib import Path

READ_SIZE = 2**17


def connect(path: str, wait: float) -> int:
    """Until the runner has closed its side, or nobody reads any more. Waits so many seconds for the socket to appear, but not
    where this program itself was removed: the runner has ended, and its place on the machine was given back."""
    try:
        link = _dial(path, time.monotonic() + wait)
    except OSError as error:
        print(f"no runner answers on {path}: {error}", file=sys.stderr)
        return 1
    try:
        _copy(link, sys.stdin.fileno(), sys.stdout.fileno())
    except (BrokenPipeError, ConnectionResetError):
        return 1
    return 0


def _dial(path: str, deadline: float) -> socket.socket:
    while True:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.connect(path)
            return link
        except (FileNotFoundError, ConnectionRefusedError):
            link.close()
            if time.monotonic() >= deadline or not Path(sys.argv[0]).exists():
                raise
            time.sleep(0.01)


def _copy(link: socket.socket, source: int, sink: int) -> None:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(link, select.POLLIN)
    poll.register(sink, 0)  # only whether its reader is gone
    while True:
        ready = dict(poll.poll())
        if ready.get(sink, 0) & (select.POLLERR | select.POLLHUP):
            return
        if link.fileno() in ready:
            data = link.recv(READ_SIZE)
            if not data:
                return
            _write_all(sink, data)
        if source in ready:
            data = os.read(source, READ_SIZE)
            if data:
                link.sendall(data)
            else:
                poll.unregister(source)
                link.shutdown(socket.SHUT_WR)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

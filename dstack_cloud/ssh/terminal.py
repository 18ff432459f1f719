"""A command on a machine, joined to this terminal: for computers without the OpenSSH client."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

CHUNK = 1 << 16


def interact(channel: paramiko.Channel, command: str, *, terminal: bool) -> int:
    """Until the command has ended; "": the user's shell there. Returns its exit code, 255 where the connection broke off."""
    channel.settimeout(None)
    if terminal:
        channel.get_pty(os.environ.get("TERM", "dumb"), *shutil.get_terminal_size())
    if command:
        channel.exec_command(command)
    else:
        channel.invoke_shell()
    with _raw(channel) if terminal else contextlib.nullcontext():
        errors = threading.Thread(target=_copy_errors, args=(channel,), daemon=True)
        errors.start()
        # blocked in a read when the command ends: it isn't waited for
        threading.Thread(target=_send_input, args=(channel,), daemon=True).start()
        while data := channel.recv(CHUNK):
            _write(sys.stdout.fileno(), data)
        errors.join()
    code = channel.recv_exit_status()
    return 255 if code < 0 else code


def _copy_errors(channel: paramiko.Channel) -> None:
    while data := channel.recv_stderr(CHUNK):
        _write(sys.stderr.fileno(), data)


def _send_input(channel: paramiko.Channel) -> None:
    source = sys.stdin.fileno()
    with contextlib.suppress(OSError, EOFError):  # the command has ended meanwhile
        while not channel.closed:
            if select.select([source], [], [], 0.2)[0]:
                data = os.read(source, CHUNK)
                if not data:
                    channel.shutdown_write()
                    return
                channel.sendall(data)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _raw(channel: paramiko.Channel) -> Iterator[None]:
    """Every key goes to the other side, and the window's size with each of its changes."""
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)

    def resize(_number: int, _frame: FrameType | None) -> None:
        channel.resize_pty(*shutil.get_terminal_size())

    handler = signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(source)
        yield
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)

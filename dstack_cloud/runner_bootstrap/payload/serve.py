"""The daemon: one runner, one folder, one socket, until the job has been collected or nobody wants it any more."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.http1 import Handler, serve_connection
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.routes import routes
from dstack_cloud.runner_bootstrap.payload.runner import Runner

TICK_SECONDS = 0.5
BACKLOG = 64
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
# what a machine that shuts down leaves us, less than the unit's TimeoutStopSec
SHUTDOWN_SECONDS = 45.0


class _Terminated(Exception):
    """SIGTERM or SIGINT came, or one that says that the machine shuts down: SIGUSR1, or SIGUSR2 where it does for good."""


def serve(root: Path, socket_path: Path, machine: Machine, idle_timeout: float | None, on_end: list[str]) -> int:
    """Blocks until the end; the exit code. `on_end` runs (and its end is awaited) after the job has been collected."""
    folder = Folder(root)
    folder.make()
    lock = _take_lock(folder)
    if lock is None:
        print(f"another runner serves {folder.root}", file=sys.stderr)
        return 0
    runner = Runner(folder, machine)
    for number in ENDING:
        signal.signal(number, _terminate)
    try:
        listener = _listen(socket_path)
        runner.open()
        threading.Thread(target=_accept, args=(listener, routes(runner)), name="accept", daemon=True).start()
        collected = _wait(runner, folder, idle_timeout)
        if not collected:
            runner.abandon()
    except _Terminated as end:
        collected = False
        if end.args[0] in (signal.SIGUSR1, signal.SIGUSR2):
            runner.leave(SHUTDOWN_SECONDS, for_good=end.args[0] == signal.SIGUSR2)
        else:
            runner.abandon()
    finally:
        socket_path.unlink(missing_ok=True)
    if collected and on_end:
        subprocess.run(on_end, check=False, stdin=subprocess.DEVNULL)
    return 0


def _take_lock(folder: Folder) -> int | None:
    """The kernel frees it with the process, however that ends."""
    fd = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _listen(path: Path) -> socket.socket:
    """A socket that is private from its first moment. What lies there is an earlier runner's, for the lock is ours."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def _accept(listener: socket.socket, handle: Handler) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(connection, handle), daemon=True).start()


def _wait(runner: Runner, folder: Folder, idle_timeout: float | None) -> bool:
    """True once the job has been collected; False where the folder went, or no job came in time."""
    born = time.monotonic()
    while not runner.finished.wait(TICK_SECONDS):
        if not folder.state.parent.exists():
            return False
        if idle_timeout is not None and runner.idle and time.monotonic() - born > idle_timeout:
            print("no job came: the runner ends", file=sys.stderr)
            return False
        runner.check_time()
    return True


def _terminate(number: int, frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # once: the job's end, which follows, is not to be interrupted
    raise _Terminated(number)

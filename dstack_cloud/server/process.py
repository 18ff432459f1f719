"""The server as a process: one a state folder, on a private socket, gone when nothing needs it any more."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from dstack_cloud import errors
from dstack_cloud.api.locations import server_socket, state_folder
from dstack_cloud.server.app import make_app
from dstack_cloud.server.wiring import Server, wire
from dstack_cloud.version import __version__

log = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
LOOK_EVERY = 1.0
# what `dstack server stop` waits for machines that are going anyway, seconds; the client waits a little longer
TEAR_DOWN_SECONDS = 10.0
# new objects after which Python looks for unreachable ones, by generation: a plan of hundreds of jobs makes many, and all are in use
COLLECT_AFTER = (20_000, 20, 50)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    home = state_folder()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    with _lock(home) as mine:
        if not mine:
            log.info("another server serves %s already", home)
            return 0
        try:
            return _serve(home)
        except errors.DstackError as error:
            sys.stderr.write(f"error: {error.summary}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
            return error.exit_code


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[bool]:
    """Held as long as the process lives, whatever ends it."""
    with (home / "server.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _listen(path: Path) -> socket.socket:
    """A socket of mode 0600. A file that a dead server left is removed: the lock says that it is dead."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def _serve(home: Path) -> int:
    path = server_socket(home)
    server = wire(home)
    app = make_app(server.context, home)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    http = uvicorn.Server(config)
    # uvicorn ends on these, then raises them again for whoever was there before it: the end must stay an orderly one
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(http, "should_exit", True))
    listener = _listen(path)
    (home / "server.json").write_text(json.dumps({"pid": os.getpid(), "version": __version__}))
    app.state.stop = lambda: threading.Thread(target=_end, args=(server, http), daemon=True).start()
    threading.Thread(target=_watch_idle, args=(server, app.state, http, home), daemon=True).start()
    settle()
    server.scheduler.start()
    log.info("serving %s, version %s, pid %d", home, __version__, os.getpid())
    try:
        asyncio.run(http.serve(sockets=[listener]))
    finally:
        server.scheduler.stop()
        path.unlink(missing_ok=True)
        log.info("ended")
    return 0


def settle() -> None:
    """What is there by now stays: the garbage collector doesn't go through it again. A fifth of a large plan's time was that."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _end(server: Server, http: uvicorn.Server) -> None:
    """What is being torn down goes first: until the next command nobody else would see to it."""
    deadline = time.monotonic() + TEAR_DOWN_SECONDS
    while time.monotonic() < deadline and _asked(server.tearing_down):
        time.sleep(0.02)
    http.should_exit = True


def _watch_idle(server: Server, state: object, http: uvicorn.Server, home: Path) -> None:
    """Ends the server when no row needs it and nobody asked anything for a while, or when its folder is gone."""
    limit = float(os.environ.get("DSTACK_SERVER_IDLE", IDLE_SECONDS))
    while not http.should_exit:
        time.sleep(LOOK_EVERY)
        asked = getattr(state, "asked_at", 0.0)
        busy = getattr(state, "requests", 0) > 0
        if not home.is_dir():
            log.warning("%s is gone", home)
            http.should_exit = True
        elif not busy and time.monotonic() - asked > limit and not _asked(server.active):
            log.info("nothing to do for %.0f s", limit)
            http.should_exit = True


def _asked(question: Callable[[], bool]) -> bool:
    """A database that doesn't answer counts as a yes."""
    try:
        return question()
    except errors.DstackError as error:
        log.warning("%s: %s", error.code, error.summary)
        return True

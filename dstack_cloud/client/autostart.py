"""Starting the server in the background, and ending it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dstack_cloud.api.locations import server_socket
from dstack_cloud.errors import ConfigurationError, DstackError, ServerError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import ServerView

START_SECONDS = 45.0
# what is being torn down goes first, and the last steps end: a job may leave thousands of files to remove
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.005
_LOST_RACE_SECONDS = 1.0  # how long the one that was faster may need to listen
_LOG_LINES = 10
_KINDS: Mapping[int, type[DstackError]] = {kind.exit_code: kind for kind in (ConfigurationError, ServerError)}

_PLACES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "DOCKER_HOST"}
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"}
_CERTIFICATES = {
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
}
_PACKAGE_INDEXES = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "PIP_FIND_LINKS"}
_KEPT = _PLACES | _PROXIES | _CERTIFICATES | _PACKAGE_INDEXES
_KEPT_PREFIXES = ("LC_", "XDG_", "DSTACK_")


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What the server inherits: where things are and how the network is reached, never credentials."""
    return {
        name: value
        for name, value in environment.items()
        if name.upper() in _KEPT or name.startswith(_KEPT_PREFIXES)  # proxies are spelled in both cases
    }


def start(home: Path) -> None:
    """Returns once a server listens on `home`'s socket: ours, or one that someone started at the same moment.
    Raises what it says is wrong with its state folder or configuration, else ServerError with the end of its log where it
    doesn't within 15 seconds."""
    _make_home(home)
    address = server_socket(home)
    log = home / "server.log"
    log_start = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + START_SECONDS
    process = _spawn(home, log)
    ended_at: float | None = None
    while not _answers(address):
        now = time.monotonic()
        if process.poll() is not None and process.returncode != 0:
            raise _told(process.returncode, log, log_start) or _failure(
                "the dstack server didn't start", log, log_start
            )
        if process.returncode == 0:
            ended_at = ended_at or now
            if now - ended_at > _LOST_RACE_SECONDS:  # the other one was on its way out
                process, ended_at = _spawn(home, log), None
        if now > deadline:
            raise _failure(f"the dstack server didn't start within {START_SECONDS:.0f} s", log, log_start)
        time.sleep(_POLL_SECONDS)


def stop(home: Path) -> bool:
    """Asks the server to end and waits until it has; its runs go on. False where none was there."""
    from dstack_cloud.client.transport import Transport

    transport = Transport(home, autostart=False)
    if not transport.is_up():
        return False
    pid = cast("ServerView", transport.call("GET", "/api/server"))["pid"]
    transport.call("POST", "/api/server/stop")
    deadline = time.monotonic() + STOP_SECONDS
    while _lives(pid):  # not `is_up`: a command in another terminal that follows a run may start the next one at once
        if time.monotonic() > deadline:
            raise ServerError(f"the dstack server (process {pid}) doesn't end", f"its log is {home / 'server.log'}")
        time.sleep(_POLL_SECONDS)
    return True


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(
            f"can't make the state folder {home}: {error.strerror or error}", "DSTACK_HOME says where it is"
        ) from error


def _spawn(home: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**scrubbed(os.environ), "DSTACK_HOME": str(home)}
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServerError(
            f"can't write {log}: {error.strerror or error}", "the state folder must belong to you; DSTACK_HOME moves it"
        ) from error
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "dstack_cloud.server"],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        os.close(output)


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
    return True


def _lives(pid: int) -> bool:
    """A zombie counts as ended: its parent may be this very process, or one that takes its time to look."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return not _is_zombie(pid)
    return ended == 0


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _told(exit_code: int, log: Path, start: int) -> DstackError | None:
    """The error that it ended with, where that was one with a sentence for the user."""
    words = re.search(r"^error: (.*?)(?:\nhint: (.*))?\Z", "\n".join(_last_lines(log, start)), re.MULTILINE | re.DOTALL)
    kind = _KINDS.get(exit_code)
    return kind(words[1], words[2]) if kind and words else None


def _failure(summary: str, log: Path, start: int) -> ServerError:
    told = "".join(f"\n  {line}" for line in _last_lines(log, start))
    return ServerError(f"{summary}{': its last words:' if told else ''}{told}", f"the whole log is {log}")


def _last_lines(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]

"""Where the server's files lie: shared by the server that makes them and the client that looks for them."""

from __future__ import annotations

import os
from pathlib import Path

# sun_path is 108 bytes on Linux and 104 on macOS, the final NUL included
LONGEST_SOCKET_PATH = 103


def state_folder() -> Path:
    """DSTACK_HOME, `~/.dstack` by default. Everything that the tool keeps is below it."""
    return Path(os.environ.get("DSTACK_HOME") or Path.home() / ".dstack").expanduser().absolute()


def socket_path(wanted: Path) -> Path:
    """`wanted`, or where that is too long for a socket, a place in the user's runtime folder that stands for it."""
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    import hashlib

    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:24]
    return runtime_folder() / f"{digest}.sock"


def runtime_folder() -> Path:
    """A short private folder (0700) for sockets; made if it isn't there. Refuses one that is someone else's."""
    import tempfile

    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if not base or len(base) > 60 or not Path(base).is_dir():
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 40 else "/tmp"  # noqa: S108 - made 0700, owner checked
    folder = Path(base) / f"dstack-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to someone else or is open to others; remove it")
    return folder


def server_socket(home: Path) -> Path:
    return socket_path(home / "server.sock")

"""A real OpenSSH server of this user's, on a port of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from dstack_cloud.ssh import keys
from dstack_cloud.ssh.endpoint import Endpoint, Trust

PROGRAM = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
START_SECONDS = 30
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 100
MaxSessions 100
# or each session would run the user's own ~/.bashrc, and be killed in the middle of what that does
SetEnv HOME={folder}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Sshd:
    """`host` and `client` are the keys that fit; `start` may be called again after `kill`."""

    folder: Path
    port: int
    host: keys.KeyPair
    client: keys.KeyPair
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(getpass.getuser(), "127.0.0.1", self.port)

    @property
    def trust(self) -> Trust:
        return Trust(self.client.private, (self.host.public,))

    def start(self) -> None:
        assert PROGRAM is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [PROGRAM, "-D", "-e", "-f", str(self.folder / "config")]
        with (self.folder / "log").open("ab") as log:
            # a group of its own: its sessions are ended with it
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as probe:
                    if probe.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """Ends the listener and every session, as a machine that dies would."""
        if self.process is None:
            return
        for pid in [*sessions(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None


def sessions(listener: int) -> list[int]:
    """The listener's descendants; they lead sessions of their own."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
    found = [listener]
    for parent in found:
        found += [pid for pid, above in pairs if above == parent and pid not in found]
    return found[1:]


def make(folder: Path) -> Sshd:
    made = Sshd(folder, free_port(), keys.generate(), keys.generate())
    host_key = folder / "host_key"
    host_key.touch(mode=0o600)
    host_key.write_text(made.host.private)
    (folder / "authorized_keys").write_text(made.client.public + "\n")
    (folder / "config").write_text(CONFIG.format(port=made.port, folder=folder))
    return made

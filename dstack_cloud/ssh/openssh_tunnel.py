"""A tunnel that the OpenSSH client carries: two to five times as fast as one in Python (bench/tunnel.py).

The machine runs `cat` as long as the tunnel is there: when this program dies, whatever way, its end of the pipe closes,
`cat` ends, and so does the client.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from dstack_cloud.errors import HostKeyMismatch, SshError
from dstack_cloud.ssh import openssh
from dstack_cloud.ssh.endpoint import Endpoint, Trust
from dstack_cloud.ssh.tunnel import LOOPBACK, free_ports

START_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between two tries to be connected again
_NAME = "machine"
_READY = b"ready\n"
# what the client says, in all its versions, when another takes the port
_TAKEN = ("cannot listen to port", "Address already in use", "Could not request local forwarding")


class PortTaken(SshError):
    """Somebody was faster."""


class OpenSshTunnel:
    """Serves 127.0.0.1:`port` with `target`, a port of the machine's own 127.0.0.1. When the connection breaks off, the port is
    closed until there is a new one."""

    def __init__(self, local_port: int, endpoint: Endpoint, trust: Trust, target: int, folder: Path) -> None:
        """The next free port where `local_port` is taken, any for 0. The keys lie in a folder of their own in `folder`
        as long as the tunnel is there. Raises SshError, HostKeyMismatch, OSError."""
        self._endpoint = endpoint
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix="tunnel-", dir=folder))
        self._closed = threading.Event()
        self._lock = threading.Lock()
        try:
            self._config = self._folder / "config"
            openssh.write_hosts(self._config, [_NAME], endpoint, trust)
            self.port = self._first(local_port)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._keeper = threading.Thread(target=self._keep, name=f"tunnel-{self.port}", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Stops listening and breaks what runs through it."""
        with self._lock:
            self._closed.set()
            self._process.kill()
        self._keeper.join()
        _end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _first(self, wanted: int) -> int:
        for port in free_ports(wanted):
            with contextlib.suppress(PortTaken):
                self._connect(port)
                return port
        raise SshError("no port is free on this computer", "close programs that hold many connections")

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            self._process.wait()
            _end(self._process)
            if self._closed.wait(pause):
                return
            try:
                self._connect(self.port)
                pause = FIRST_PAUSE
            except SshError:
                pause = min(2 * pause, LONGEST_PAUSE)

    def _connect(self, port: int) -> None:
        """Until the client is connected and listens. Whoever closes the tunnel meanwhile ends it, too: a machine that has died
        answers nothing."""
        with self._lock, (self._folder / "complaints").open("wb") as complaints:
            if self._closed.is_set():
                raise SshError("the tunnel is closed")
            self._process = process = subprocess.Popen(
                self._command(port),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # Ctrl+C in the terminal is for who follows the run
            )
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            if process.stdout is not None and process.stdout.readline() == _READY:
                return
        finally:
            timer.cancel()
        _end(process)
        raise _failure(self._endpoint, (self._folder / "complaints").read_text(errors="replace"))

    def _command(self, port: int) -> list[str]:
        return [
            openssh.program() or "ssh",
            *("-F", str(self._config), "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
            *("-o", "LogLevel=ERROR"),
            *("-L", f"{LOOPBACK}:{port}:{LOOPBACK}:{self._target}"),
            *(_NAME, "echo ready; exec cat >/dev/null"),
        ]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _failure(endpoint: Endpoint, complaint: str) -> SshError:
    lines = [line for line in complaint.splitlines() if line.strip()]
    if any(sign in complaint for sign in _TAKEN):
        return PortTaken(f"a port of this computer is taken: {lines[0]}")
    if "Host key verification failed" in complaint or "no matching host key type" in complaint:
        return HostKeyMismatch(
            f"{endpoint.address} showed another host key than the one pinned for it",
            "something else answers at that address, or someone sits in between",
        )
    return SshError(f"`ssh` can't connect to {endpoint.address}: {lines[-1] if lines else 'it said nothing'}")

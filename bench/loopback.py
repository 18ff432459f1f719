"""Both ends of a tunnel on this computer: a real sshd, a server behind it, `ssh -L` and the product's own tunnel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.target import ANSWER, request
from tests.unit.ssh import sshd as daemon

START_SECONDS = 20.0
PRODUCT = """
import os, sys
from pathlib import Path
from dstack_cloud.ssh.endpoint import Trust, parse_endpoint
carrier, folder, endpoint, port = sys.argv[1:]
folder, endpoint, port = Path(folder), parse_endpoint(endpoint), int(port)
trust = Trust((folder / "client_key").read_text(), ((folder / "host_key.pub").read_text(),))
if carrier == "openssh":
    from dstack_cloud.ssh.openssh_tunnel import OpenSshTunnel
    tunnel = OpenSshTunnel(0, endpoint, trust, port, folder)
else:
    from dstack_cloud.ssh.connection import Connection
    tunnel = Connection(endpoint, trust).forward(0, "127.0.0.1", port)
print(tunnel.port, flush=True)
os.read(0, 1)
tunnel.close()
"""


@contextmanager
def machine() -> Iterator[daemon.Sshd]:
    """An sshd of this user's; `client_key` and `known_hosts` lie in its folder."""
    folder = Path(tempfile.mkdtemp(prefix="dstack-bench-"))
    running = daemon.make(folder)
    (folder / "client_key").touch(mode=0o600)
    (folder / "client_key").write_text(running.client.private)
    (folder / "host_key.pub").write_text(running.host.public)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{running.port} {running.host.public}\n")
    running.start()
    try:
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder)


def ssh_command(sshd: daemon.Sshd, *words: str) -> list[str]:
    options = [
        f"UserKnownHostsFile={sshd.folder}/known_hosts",
        f"IdentityFile={sshd.folder}/client_key",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
    ]
    flags = [word for option in options for word in ("-o", option)]
    address = ["-p", str(sshd.port), f"{sshd.endpoint.user}@127.0.0.1"]
    return ["ssh", "-F", "none", *flags, *address, *words]


@contextmanager
def target() -> Iterator[int]:
    """The port of the server behind the tunnels."""
    with _process([sys.executable, "-m", "bench.target"]) as process:
        assert process.stdout
        yield int(process.stdout.readline())


@contextmanager
def openssh_tunnel(sshd: daemon.Sshd, port: int, *options: str) -> Iterator[int]:
    local = daemon.free_port()
    with _process(ssh_command(sshd, *options, "-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{port}")):
        _await(local)
        yield local


@contextmanager
def product_tunnel(sshd: daemon.Sshd, port: int, carrier: str) -> Iterator[int]:
    """`carrier`: openssh or paramiko. In a process of its own, as an attached command line is."""
    command = [sys.executable, "-c", PRODUCT, carrier, str(sshd.folder), str(sshd.endpoint), str(port)]
    with _process(command) as process:
        assert process.stdout
        local = int(process.stdout.readline())
        _await(local)
        yield local


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _await(port: int) -> None:
    """Until a request gets through."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as probe:
                probe.sendall(request("e"))
                if probe.recv(1) == ANSWER[:1]:
                    return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"no tunnel at {port}")

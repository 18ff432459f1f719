"""A snapshot of many small files to a machine, beside `tar | zstd | ssh`: `.venv/bin/python -m bench.upload`.

The product's way is timed as it is used: out of the store (a packed tar), over an SSH connection that is there, into a runner,
until the runner says that all of it lies on its disk. The peer's begins with the files, on a connection of its own or, in the
second row, on one that is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Figure, Pair, show, timed
from bench.loopback import machine, ssh_command
from dstack_cloud.client.listing import scan
from dstack_cloud.client.packing import pack
from dstack_cloud.client.snapshot import measure
from dstack_cloud.runner_bootstrap.link import RunnerLink
from dstack_cloud.ssh.connection import Connection
from dstack_cloud.storage.packing import unpacked
from tests.unit.runner.rig import Rig
from tests.unit.ssh.sshd import Sshd

ROUNDS = 7
# where a disk's speed doesn't count
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
FILES, SIZE = 5_000, 4 << 10


def main() -> None:
    if not all(map(shutil.which, ("ssh", "tar", "zstd"))):
        print("ssh, tar or zstd is missing: nothing is measured")
        return
    with machine() as sshd, files() as source, multiplexed(sshd) as socket:
        packed = list(pack(source, list(measure(scan(source, source / "none")).entries)))
        cold, warm = Pair(), Pair()
        connection = Connection(sshd.endpoint, sshd.trust)
        for number in range(ROUNDS + 1):
            ours = [product(connection, packed), product(connection, packed)]
            theirs = [peer(sshd, source), peer(sshd, source, "-S", str(socket))]
            for pair, mine, other in zip((cold, warm), ours, theirs, strict=True):
                if number:  # the first isn't measured
                    pair.a.append(mine)
                    pair.b.append(other)
        connection.close()
    name = f"{FILES} × {SIZE >> 10} KB to a machine / `tar \\| zstd \\| ssh`"
    show(
        [Figure(name, cold.ratio, 1.5, "×", str(cold)), Figure(f"{name}, multiplexed", warm.ratio, 1.5, "×", str(warm))]
    )


@contextmanager
def files() -> Iterator[Path]:
    """Half of each file is random, so that packing has something to do."""
    folder = Path(tempfile.mkdtemp(prefix="dstack-bench-", dir=MEMORY))
    for number in range(FILES):
        place = folder / f"{number % 50:02}"
        place.mkdir(exist_ok=True)
        (place / f"{number}.bin").write_bytes(os.urandom(SIZE // 2) + bytes(SIZE // 2))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def multiplexed(sshd: Sshd) -> Iterator[Path]:
    """The socket of a connection that is there."""
    socket = sshd.folder / "mux"
    subprocess.run(ssh_command(sshd, "-M", "-S", str(socket), "-f", "-N"), check=True)
    yield socket
    subprocess.run(ssh_command(sshd, "-S", str(socket), "-O", "exit"), check=True, stderr=subprocess.DEVNULL)


def product(connection: Connection, packed: list[bytes]) -> float:
    """Seconds."""
    folder = Path(tempfile.mkdtemp(prefix="rig-", dir=MEMORY))
    rig = Rig(folder).start()
    # the second input never comes, so the job doesn't begin
    rig.submit("true", inputs=["code", "cache-0"], caches=["c"])
    link = RunnerLink(
        lambda: connection.dial(
            shlex.join([rig.python, "-I", str(rig.program), "connect", "--socket", str(rig.socket)])
        )
    )
    seconds = timed(lambda: link.put_input("code", unpacked(iter(packed))))
    link.close()
    rig.end()
    shutil.rmtree(folder)
    return seconds


def peer(sshd: Sshd, source: Path, *options: str) -> float:
    """Seconds."""
    target = Path(tempfile.mkdtemp(prefix="dstack-bench-", dir=MEMORY))
    there = f"zstd -dc | tar xf - -C {target}"
    sent = shlex.join(ssh_command(sshd, *options, there))
    seconds = timed(lambda: subprocess.run(f"tar cf - -C {source} . | zstd -q | {sent}", shell=True, check=True))
    shutil.rmtree(target)
    return seconds


if __name__ == "__main__":
    main()

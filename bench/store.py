"""Artifacts into an S3 server and back, beside s5cmd and rclone: `.venv/bin/python -m bench.store [ROUNDS]`.

All in turn against the same SeaweedFS on this computer, which has its data in memory where it can. Ours is the product's
own path: files on disk, packed by the runner's code in a process of its own, saved and published; or fetched as an archive.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.harness import PYTHON, ROOT, Figure, show, timed
from tests.fakes.seaweed import KEY, REGION, SECRET, Seaweed

SETS = {"5,000 × 4 KB": (5_000, 4 * 2**10), "1 × 1 GiB": (1, 2**30)}
MEMORY = Path("/dev/shm")
LATENCY_SECONDS = 0.005
# s5cmd is best with its defaults here; rclone's 4 transfers at once are too few
RCLONE = ["--s3-no-check-bucket", "--transfers", "64", "--s3-upload-concurrency", "8", "--s3-chunk-size", "16M"]


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of CPU with all its processes."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Tool:
    """The commands that put a folder below a prefix of the bucket, and fetch it. `tells`: it prints what it took itself."""

    name: str
    put: Callable[[Path, str], list[str]]
    get: Callable[[str, Path], list[str]]
    tells: bool = False


def tools(endpoint: str) -> list[Tool]:
    ours = [PYTHON, "-m", "bench.store_child", endpoint]
    s5cmd = [binary("s5cmd"), "--endpoint-url", endpoint, "--log", "error", "cp"]
    remote = f":s3,provider=Other,env_auth=true,region={REGION},endpoint='{endpoint}':first"
    rclone = [binary("rclone"), "copy", "--config", os.devnull, *RCLONE, "--no-traverse", "--no-check-dest"]
    return [
        Tool("ours", lambda a, b: [*ours, "put", str(a), b], lambda b, a: [*ours, "get", b, str(a)], tells=True),
        Tool("s5cmd", lambda a, b: [*s5cmd, f"{a}/", f"s3://first/{b}/"], lambda b, a: [*s5cmd, f"s3://first/{b}/*", f"{a}/"]),
        Tool("rclone", lambda a, b: [*rclone, str(a), f"{remote}/{b}"], lambda b, a: [*rclone, f"{remote}/{b}", str(a)]),
    ]  # fmt: skip


def binary(name: str) -> str:
    """The program itself: s5cmd's is behind a Python script, whose start would be measured too."""
    inside = list(Path(PYTHON).parents[1].glob(f"lib/python*/site-packages/{name}/bin/{name}"))
    return str(inside[0] if inside else Path(PYTHON).with_name(name))


def measured(tool: Tool, command: list[str]) -> Took:
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    usage: list[resource.struct_rusage] = []
    said = ""

    def work() -> None:
        nonlocal said
        assert process.stdout
        said = process.stdout.read()
        _, process.returncode, used = os.wait4(process.pid, 0)
        usage.append(used)

    wall = timed(work)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    if tool.tells:
        return Took(*map(float, said.split()))
    return Took(wall, usage[0].ru_utime + usage[0].ru_stime)


@contextmanager
def delayed(endpoint: str, seconds: float) -> Iterator[str]:
    """The same server, `seconds` further away."""
    if not seconds:
        yield endpoint
        return
    command = [PYTHON, "-m", "bench.proxy", urlsplit(endpoint).netloc, str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def rounds_of(server: Seaweed, endpoint: str, source: Path, rounds: int) -> dict[tuple[str, str], list[Took]]:
    """By tool and "put" or "get"; the tools in turn, one round unmeasured."""
    took: dict[tuple[str, str], list[Took]] = {}
    for number in range(rounds + 1):
        for tool in tools(endpoint):
            target = source.with_name("fetched")
            put = measured(tool, tool.put(source, "bench"))
            get = measured(tool, tool.get("bench", target))
            if number:
                took.setdefault((tool.name, "put"), []).append(put)
                took.setdefault((tool.name, "get"), []).append(get)
            shutil.rmtree(target, ignore_errors=True)
            empty(server)
    return took


def empty(server: Seaweed) -> None:
    """The bucket anew: objects that are only deleted keep their room in the server, which lies in memory, until none is left."""
    from dstack_cloud.storage.store import open_store

    store = open_store("s3://first", options=server.options())
    store.delete(info.key for info in store.list(""))
    server.client().delete_bucket(Bucket="first")
    server.make_bucket("first")


def figures(title: str, took: dict[tuple[str, str], list[Took]], count: int) -> list[Figure]:
    found = []
    for action, name in (("put", "upload"), ("get", "download")):
        wall = {tool: statistics.median(t.wall for t in each) for (tool, did), each in took.items() if did == action}
        cpu = {tool: statistics.median(t.cpu for t in each) for (tool, did), each in took.items() if did == action}
        best = min((tool for tool in wall if tool != "ours"), key=wall.__getitem__)
        note = ", ".join(f"{tool} {wall[tool]:.2f} s, CPU {cpu[tool]:.2f} s" for tool in wall)
        found.append(Figure(f"{title} {name}: time against {best}", wall["ours"] / wall[best], 1 / 0.9, "×", note))
        found.append(Figure(f"{title} {name}: CPU against {best}", cpu["ours"] / cpu[best], 1.5, "×"))
    return found


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    # told to end, it takes its server along
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    where = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 16 * 2**30 else None
    with tempfile.TemporaryDirectory(dir=where) as folder, Seaweed(within=Path(folder)) as server:
        for title, (count, size) in SETS.items():
            source = Path(folder) / "source"
            source.mkdir()
            for number in range(count):
                with (source / f"file-{number:05d}").open("wb") as file:
                    for start in range(0, size, 2**20):
                        file.write(os.urandom(min(2**20, size - start)))
            for seconds in (0.0, LATENCY_SECONDS):
                with delayed(server.url, seconds) as endpoint:
                    took = rounds_of(server, endpoint, source, rounds)
                show(figures(f"{title}, +{seconds * 1000:.0f} ms:", took, count))
            shutil.rmtree(source)


if __name__ == "__main__":
    main()

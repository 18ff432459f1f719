"""One upload or download on the product's own path, measured by `bench.store`: prints seconds by the clock and of CPU.

`put FOLDER RUN`: the runner's code packs in a process of its own, as on a machine. `get RUN FOLDER`: tar unpacks.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.pack import pack
from dstack_cloud.runner_bootstrap.payload.tree import walk
from dstack_cloud.storage import artifacts
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import AttemptPlace, JobPlace
from dstack_cloud.storage.store import open_store
from tests.fakes.seaweed import KEY, REGION, SECRET

# as the runner's link reads
CHUNK = 2**18


def read(folder: str) -> Iterator[bytes]:
    """The runner's stream of what is in the folder."""
    packing = [sys.executable, "-m", "bench.store_child", "pack", folder]
    with subprocess.Popen(packing, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        while chunk := process.stdout.read(CHUNK):
            yield chunk


def put(store: Store, folder: str, run: str) -> None:
    manifest = artifacts.save_artifacts(store, AttemptPlace(run, "job", 1), read(folder))
    artifacts.publish(store, JobPlace(run, "job"), manifest)


def get(store: Store, run: str, folder: str) -> None:
    manifest = artifacts.load_manifest(store, JobPlace(run, "job"))
    assert manifest
    Path(folder).mkdir()
    with subprocess.Popen(["tar", "-x", "-C", folder], stdin=subprocess.PIPE) as process:
        assert process.stdin
        for chunk in artifacts.archive(store, manifest):
            process.stdin.write(chunk)


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(endpoint: str, action: str, first: str, second: str) -> None:
    options = {"endpoint": endpoint, "region": REGION, "allow_http": "true"}
    store = open_store("s3://first", options={**options, "access_key_id": KEY, "secret_access_key": SECRET})
    began, used = time.perf_counter(), cpu()
    {"put": put, "get": get}[action](store, first, second)
    print(time.perf_counter() - began, cpu() - used)


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        # the runner begins with what is below the folder
        members = (entry for entry in walk(sys.argv[2], print) if entry.name)
        with open(1, "wb", buffering=CHUNK, closefd=False) as out:
            pack(members, out, print)
    else:
        main(*sys.argv[1:])

"""The setup of a job: commands whose result is made once and kept, and what the job gets of it."""

from __future__ import annotations

import os
import posixpath
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from dstack_cloud.runner_bootstrap.payload.executor import Ending, Executor, Failure
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import ALONE, Job
from dstack_cloud.runner_bootstrap.payload.setup_key import key_of
from dstack_cloud.runner_bootstrap.payload.spool import Spool
from dstack_cloud.runner_bootstrap.payload.unpack import Source

# what nothing has used for so long is removed from a machine that stays
UNUSED_SECONDS = 14 * 24 * 3600.0
# what is downloaded there changes nothing of the result: the one part of a job's caches that its setup has
DOWNLOADS = ("~/.cache/pip", "~/.cache/uv")


class Keep(Protocol):
    """Where results are kept on this machine. `travels`: they can be had from other machines, and given to these."""

    travels: bool

    def base(self) -> str:
        """What the commands are run on top of, in words that differ where it does. Raises Failure."""
        ...

    def takes_packed(self) -> bool:
        """Whether what another machine has made may come as it lies in the store. Raises Failure."""
        ...

    def use(self, key: str) -> bool:
        """The job gets what is kept; False where nothing is. Raises Failure."""
        ...

    def builder(self) -> Executor:
        """What runs the commands, in `folder.setup`."""
        ...

    def keep(self, key: str) -> None:
        """What the builder, which has ended well, has made is kept, and the job gets it. Raises Failure."""
        ...

    def take(self, key: str, source: Source) -> None:
        """What another machine has made is kept. Raises Failure, and what the source raises."""
        ...

    def give(self, key: str) -> Iterator[bytes]:
        """What this machine has made, for others. Raises Failure, also where it breaks off."""
        ...


class Setup:
    """Of one attempt. `key` is "" until it is looked for; `built`: it was made here; `answered`: the store has said what it has."""

    def __init__(self, folder: Folder, job: Job, spool: Spool, keep: Keep) -> None:
        self.key = ""
        self.built = False
        self.answered = not keep.travels or job.rebuild
        self.keep = keep
        self._folder = folder
        self._job = job
        self._spool = spool
        self._began = 0.0

    def find(self) -> bool:
        """Whether the job has it now. Raises Failure."""
        self.key = self.key or key_of(self._job, self._folder.work, self.keep.base())
        if self._job.rebuild or not self.keep.use(self.key):
            return False
        self._say("built before, and used again")
        return True

    def told(self, how: str) -> dict[str, Any]:
        """Of the runner's state: `wanted` from the store, `used` as it was kept, or `built` here. Raises Failure."""
        said = {"key": self.key, "is": how, "travels": self.keep.travels}
        return {**said, "packed": self.keep.takes_packed()} if how == "wanted" else said

    def take(self, source: Source) -> None:
        """The store's answer: empty where it has nothing."""
        first = source.read(1)
        if first:
            self.keep.take(self.key, Joined(first, source))
        self.answered = True

    def begin(self) -> Executor:
        """What runs the commands, in a copy of the working folder and a home of their own: nothing of it can be missed later,
        when the commands aren't run."""
        here = self._folder.setup
        here.make()
        caches = {os.path.normpath(self._folder.place(path)) for path in self._job.caches}
        try:
            shutil.copytree(
                self._folder.work, here.work, symlinks=True, dirs_exist_ok=True,
                ignore=lambda place, names: [name for name in names if f"{place}/{name}" in caches],
            )  # fmt: skip
        except OSError as error:
            raise lost(error, "can't have a copy of the working folder") from error
        self._began = time.monotonic()
        self._say(f"{'to be built anew' if self._job.rebuild else 'not built before'}: its commands run now")
        return self.keep.builder()

    def finish(self, ending: Ending) -> Ending | None:
        """None where it went well and the job has it; else how the attempt ends. Raises Failure."""
        if ending.reason:
            return ending
        if ending.exit_code != 0:
            return ending._replace(message="a command of `setup` failed")
        self.keep.keep(self.key)
        self.built = True
        return None

    def tell_end(self, ending: Ending | None) -> None:
        """In the log, once all is there that its commands wrote."""
        if ending is None:
            self._say(f"built in {time.monotonic() - self._began:.1f} s and kept")
        elif not ending.reason:
            self._say(f"failed with exit code {ending.exit_code}: nothing is kept of it, and the job doesn't start")

    def _say(self, text: str) -> None:
        log = self._spool.open_for_append()
        try:
            os.write(log, f"setup: {text} ({self.key[:8]})\n".encode())
        finally:
            os.close(log)


class Joined:
    """What has been read of a source already, and the rest."""

    def __init__(self, first: bytes, rest: Source) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._rest.read(size)
        if size < 0:
            data, self._first = self._first, b""
            return data + self._rest.read()
        data, self._first = self._first[:size], self._first[size:]
        return data + self._rest.read(size - len(data)) if len(data) < size else data


def setup_job(job: Job) -> Job:
    """The job that makes it: what its programs download is in no cache, unless the workflow has one, for it would be kept.
    Nor does it know which of several nodes it is on."""
    env = job.env
    if "PIP_CACHE_DIR" not in env and DOWNLOADS[0] not in _downloads(job):
        env = {"PIP_NO_CACHE_DIR": "1", **env}
    alone = job._replace(node=0, nodes=ALONE, ports=(), artifacts=(), deps=(), caches=())
    return alone._replace(commands=job.setup, entrypoint=None, env=env)


def download_places(folder: Folder, job: Job) -> list[tuple[str, Path]]:
    """Each path of the job's caches that its setup has, too, and where it lies. What it writes at others is the setup's own, as if
    there were no caches: else it would be missing where the setup is used again without them."""
    return [(path, folder.place(path)) for path in _downloads(job)]


def _downloads(job: Job) -> list[str]:
    """A container has none: what is mounted into it would leave its traces in the image."""
    caches = [posixpath.normpath(path) for path in job.caches if job.mode == "process"]
    return [path for path in DOWNLOADS if any(f"{path}/".startswith(f"{cache}/") for cache in caches)]


def lost(error: OSError | str, what: str) -> Failure:
    return Failure("start", f"the setup {what}: {error}")

"""Takes in what must be there before the job starts."""

from __future__ import annotations

import itertools
import posixpath
import threading
from collections.abc import Sequence
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.unpack import Source, Target, unpack

CODE = "code"
ARTIFACTS = "artifacts"
DEPS = "deps-"
# asked for by its key, once the code is there
SETUP = "setup"


class Intake:
    """Several inputs may come side by side; the same one is taken once. `restored`: the names of the files that the input
    `artifacts` brought."""

    def __init__(self, folder: Folder, job: Job) -> None:
        self.restored: set[str] = set()
        self._folder = folder
        self._job = job
        self._locks = {name: threading.Lock() for name in job.inputs}
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._locks

    def take(self, name: str, stream: Source) -> None:
        """Unpacks one input. Raises unpack.BadArchive, OSError, and what the stream raises where it breaks off."""
        with self._locks[name]:
            if name in self._taken:
                return
            if name == ARTIFACTS:
                self.restored = self._restore(stream, self._job.artifacts)
            elif name.startswith(DEPS):
                self._restore(stream, self._job.deps[_number(name)])
            elif name == CODE:
                unpack(stream, Target(self._folder.work))
            else:
                self._take_cache(name, stream)
            self._taken.add(name)

    @property
    def missing(self) -> list[str]:
        return [name for name in self._job.inputs if name not in self._taken]

    def before(self, name: str) -> list[str]:
        """What is missing and must be in place before this one is unpacked: the outputs of other jobs go over the code, those of
        the later ones over those of the earlier ones, and the job's own artifacts over all; only where they overlap."""
        rank = _rank(name)
        earlier = [other for other in self.missing if _rank(other) < rank]
        # the code's links may lead anywhere: it always comes first
        return [other for other in earlier if other == CODE or self._overlap(name, other)]

    def _restore(self, stream: Source, paths: Sequence[str]) -> set[str]:
        # imported here: it is needed by later attempts and dependents only
        from dstack_cloud.runner_bootstrap.payload.restore import restore

        return restore(stream, self._folder, paths)

    def _take_cache(self, name: str, stream: Source) -> None:
        # imported here: hashing is needed by jobs with a cache only
        from dstack_cloud.runner_bootstrap.payload.fingerprint import fingerprint

        target = self._cache(name)
        unpack(stream, Target(target))
        self._folder.fingerprint(name).write_text(fingerprint(target))

    def _cache(self, name: str) -> Path:
        return self._folder.place(self._cache_path(name))

    def _cache_path(self, name: str) -> str:
        return self._job.caches[_number(name)]

    def _overlap(self, name: str, other: str) -> bool:
        pairs = itertools.product(self._places(name), self._places(other))
        return any(all(a == b for a, b in zip(one, two)) for one, two in pairs)  # noqa: B905 - the shorter

    def _places(self, name: str) -> list[list[str]]:
        """The paths that an input may write to."""
        if name == ARTIFACTS:
            return list(map(_parts, self._job.artifacts))
        if name.startswith(DEPS):
            return list(map(_parts, self._job.deps[_number(name)]))
        return [_parts(self._cache_path(name))]


def _rank(name: str) -> tuple[int, int]:
    """What is unpacked later goes over what came before. Code and caches don't wait for anything."""
    if name == ARTIFACTS:
        return (2, 0)
    return (1, _number(name)) if name.startswith(DEPS) else (0, 0)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _parts(path: str) -> list[str]:
    normal = posixpath.normpath(path)
    parts = [] if normal == "." else normal.split("/")
    return parts if parts[:1] == ["~"] else ["work", *parts]

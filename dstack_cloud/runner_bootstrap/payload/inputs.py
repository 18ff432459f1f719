"""Takes in what must be there before the job starts."""

from __future__ import annotations

import posixpath
import threading
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.unpack import Source, Target, unpack

ARTIFACTS = "artifacts"


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
                self._take_artifacts(stream)
            elif name == "code":
                unpack(stream, Target(self._folder.work))
            else:
                self._take_cache(name, stream)
            self._taken.add(name)

    @property
    def missing(self) -> list[str]:
        return [name for name in self._job.inputs if name not in self._taken]

    def before(self, name: str) -> list[str]:
        """What is missing and must be in place before this one is unpacked: artifacts go over all that they overlap."""
        return [other for other in self.missing if name == ARTIFACTS and other != name and self._overlaps(other)]

    def _take_artifacts(self, stream: Source) -> None:
        # imported here: it is needed by later attempts only
        from dstack_cloud.runner_bootstrap.payload.restore import restore

        self.restored = restore(stream, self._folder, self._job)

    def _take_cache(self, name: str, stream: Source) -> None:
        # imported here: hashing is needed by jobs with a cache only
        from dstack_cloud.runner_bootstrap.payload.fingerprint import fingerprint

        target = self._cache(name)
        unpack(stream, Target(target))
        self._folder.fingerprint(name).write_text(fingerprint(target))

    def _cache(self, name: str) -> Path:
        return self._folder.place(self._cache_path(name))

    def _cache_path(self, name: str) -> str:
        return self._job.caches[int(name.removeprefix("cache-"))]

    def _overlaps(self, name: str) -> bool:
        if name == "code":
            return True
        cache = _parts(self._cache_path(name))
        return any(all(a == b for a, b in zip(cache, _parts(path))) for path in self._job.artifacts)  # noqa: B905 - the shorter


def _parts(path: str) -> list[str]:
    normal = posixpath.normpath(path)
    parts = [] if normal == "." else normal.split("/")
    return parts if parts[:1] == ["~"] else ["work", *parts]

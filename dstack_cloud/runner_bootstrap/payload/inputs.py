"""Takes in what must be there before the job starts."""

from __future__ import annotations

import threading
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.unpack import Source, unpack


class Intake:
    """Several inputs may come side by side; the same one is taken once."""

    def __init__(self, folder: Folder, job: Job) -> None:
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
            target = self._target(name)
            unpack(stream, target)
            if name != "code":
                # imported here: hashing is needed by jobs with a cache only
                from dstack_cloud.runner_bootstrap.payload.fingerprint import fingerprint

                self._folder.fingerprint(name).write_text(fingerprint(target))
            self._taken.add(name)

    @property
    def missing(self) -> list[str]:
        return [name for name in self._job.inputs if name not in self._taken]

    def _target(self, name: str) -> Path:
        if name == "code":
            return self._folder.work
        return self._folder.place(self._job.caches[int(name.removeprefix("cache-"))])

"""What a job leaves for the server: its artifacts as one tar, each of its caches as another."""

# Plain strings for paths: a Path for each of a hundred thousand files doubles the time.
# ruff: noqa: PTH117, PTH118, PTH120

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dstack_cloud.runner_bootstrap.payload.fingerprint import fingerprint
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.tree import Entry, Warn, walk

if TYPE_CHECKING:
    from dstack_cloud.runner_bootstrap.payload.pack import Sink

CONTAINER_WORK = "/workflow"


def silent(text: str) -> None:
    """While the job runs, what isn't there may still come."""


class Sending(NamedTuple):
    """One numbered stream of the artifacts."""

    number: int
    write: Callable[[Sink], None]


class Outputs:
    """`warn` hears of everything that should have been saved and can't be."""

    def __init__(self, folder: Folder, job: Job, warn: Warn) -> None:
        self._folder = folder
        self._job = job
        self._warn = warn
        # where the job saw its folders, and where they are here
        self._seen_as = {str(folder.work): str(folder.work), str(folder.home): str(folder.home)}
        if job.mode == "docker":
            self._seen_as |= {CONTAINER_WORK: str(folder.work), job.home_dir: str(folder.home)}
        self._roots = [os.path.realpath(folder.work), os.path.realpath(folder.home)]

    def describe(self) -> list[dict[str, Any]]:
        """The state's `outputs`."""
        found: list[dict[str, Any]] = []
        if self._job.artifacts:
            found.append({"name": "artifacts", **_measure(self.artifacts())})
        for number, path in enumerate(self._job.caches):
            name = f"cache-{number}"
            if self._folder.place(path).is_dir():
                found.append(
                    {"name": name, "path": path, **_measure(self.cache(path)), "changed": self._changed(name, path)}
                )
        return found

    def artifacts(self) -> Iterator[Entry]:
        """Named relative to the working folder, or `~/…`; each once, however many paths lead to it."""
        given: set[str] = set()
        for path in self._job.artifacts:
            for entry in self._artifact(path):
                if entry.name not in given:
                    given.add(entry.name)
                    yield entry

    def cache_named(self, name: str) -> Iterator[Entry]:
        return self.cache(self._job.caches[int(name.removeprefix("cache-"))])

    def cache(self, path: str) -> Iterator[Entry]:
        """Named relative to the cache's folder. Links are kept as they are: only a runner unpacks them again."""
        return (entry for entry in walk(str(self._folder.place(path)), self._warn) if entry.name)

    def _artifact(self, path: str) -> Iterator[Entry]:
        place = str(self._folder.place(path))
        if not os.path.lexists(place):
            self._warn(f"artifact {path}: there is no such file or folder")
            return
        real = os.path.realpath(place)
        if not self._inside(real):
            self._warn(f"artifact {path} leads out of the working folder through a link: left out")
            return
        prefix = os.path.normpath(path)
        for entry in walk(real, self._warn):
            name = _join(prefix, entry.name)
            if name and (checked := self._checked(entry._replace(name=name))):
                yield checked

    def _checked(self, entry: Entry) -> Entry | None:
        """The entry, if it isn't a link that leads out; absolute links to inside become relative ones."""
        if not entry.target:
            return entry
        here = os.path.dirname(entry.path)
        there = os.path.join(here, self._here(entry.target))
        # as it reads, and as it leads through other links
        if not self._inside(os.path.normpath(there)) or not self._inside(os.path.realpath(there)):
            self._warn(f"{entry.name} is a link to {entry.target}, out of the working folder: left out")
            return None
        if os.path.isabs(entry.target):
            return entry._replace(target=os.path.relpath(there, here))
        return entry

    def _here(self, target: str) -> str:
        for seen, here in self._seen_as.items():
            if target == seen or target.startswith(seen + "/"):
                return here + target[len(seen) :]
        return target

    def _inside(self, path: str) -> bool:
        return any(path == root or path.startswith(root + "/") for root in self._roots)

    def _changed(self, name: str, path: str) -> bool:
        kept = self._folder.fingerprint(name)
        before = kept.read_text() if kept.exists() else ""
        return fingerprint(self._folder.place(path)) != before


def _join(prefix: str, name: str) -> str:
    if prefix == ".":
        return name
    return f"{prefix}/{name}" if name else prefix


def _measure(entries: Iterable[Entry]) -> dict[str, int]:
    """`bytes` and `files`; folders and links count nothing."""
    sizes = [entry.info.st_size for entry in entries if entry.is_file]
    return {"bytes": sum(sizes), "files": len(sizes)}

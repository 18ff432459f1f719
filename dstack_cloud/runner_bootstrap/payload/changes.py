"""Changes of the working folder that are sent to a job while it runs."""

# Plain strings for paths, as in `unpack`.
# ruff: noqa: PTH113, PTH105, PTH106, PTH108, PTH112, PTH114, PTH116, PTH118, PTH120

from __future__ import annotations

import itertools
import os
import posixpath
import tarfile

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.unpack import Source, Target, unpack

# of a member that is there no more
REMOVED = "DSTACK.removed"
PARTIAL = ".dstack-partial"


def take(source: Source, folder: Folder, job: Job) -> list[str]:
    """Unpacks them; the names of what was left as the job has it. Raises BadArchive, OSError, and what the source raises."""
    target = Changed(folder, job)
    unpack(source, target)
    return target.kept


class Changed(Target):
    """A file takes the place of the older one as a whole, so that who watches it never reads half of it. The job's artifacts and
    caches, and what it was given of other jobs, are its own; so is a folder in which it has made something."""

    def __init__(self, folder: Folder, job: Job) -> None:
        super().__init__(folder.work)
        self.kept: list[str] = []
        paths = map(posixpath.normpath, (*job.artifacts, *job.caches, *itertools.chain(*job.deps)))
        self._own = [path for path in paths if path != "."]

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        # the job may have changed any of them since
        self._real = set(self._tops)
        if any(f"{member.name}/".startswith(f"{path}/") for path in self._own):
            self.kept.append(member.name)
        elif REMOVED in member.pax_headers:
            self._remove(member.name)
        elif member.isreg():
            self._replace(archive, member)
        else:
            super().add(archive, member)

    def _replace(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self.path(member.name)
        self._enter(os.path.dirname(path), member.name)
        if os.path.isdir(path) and not os.path.islink(path):
            self.kept.append(member.name)
            return
        partial = f"{path}{PARTIAL}"
        if os.path.lexists(partial):
            os.unlink(partial)
        if os.path.isfile(path):
            # of an image's own user, who may write to what came with the code
            member.mode |= os.stat(path).st_mode & 0o666
        self._write(archive, member, partial)
        # by this machine's clock, as if it had been edited here: some programs look for what is newer
        os.utime(partial)
        os.replace(partial, path)

    def _remove(self, name: str) -> None:
        path = self.path(name)
        (top,) = self._tops
        inside = os.path.relpath(os.path.dirname(path), top)
        if os.path.realpath(os.path.dirname(path)) != os.path.normpath(os.path.join(os.path.realpath(top), inside)):
            # it leads through a link that the job has made
            self.kept.append(name)
            return
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError:
            self.kept.append(name)

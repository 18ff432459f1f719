"""Puts artifacts of an earlier attempt, or of a job that this one depends on, where they lay when they were saved."""

# Plain strings for paths: a Path for each of a hundred thousand files doubles the time.
# ruff: noqa: PTH108, PTH112, PTH114, PTH118

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive, Source, Target, parts_of, unpack


def restore(source: Source, folder: Folder, artifacts: Sequence[str]) -> set[str]:
    """Unpacks the tar over the working folder and (`~/…`) the home folder; the names of the files in it. `artifacts` are the
    paths that were saved.

    Raises BadArchive, OSError.
    """
    target = Restored(folder, artifacts)
    unpack(source, target)
    return target.names


class Restored(Target):
    """What was saved is newer than what lies there: it replaces files, links and folders alike."""

    def __init__(self, folder: Folder, artifacts: Sequence[str]) -> None:
        super().__init__(folder.work)
        self.names: set[str] = set()
        self._folder = folder
        tops = {os.path.realpath(folder.work), os.path.realpath(folder.home)}
        self._tops = tops
        self._real = {*tops, str(folder.work), str(folder.home)}
        # the longest first: a member belongs to the narrowest artifact
        paths = sorted({os.path.normpath(path) for path in artifacts}, key=len, reverse=True)
        self._places = {path: self._place(path) for path in paths if path != "."}

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        super().add(archive, member)
        if member.isreg():
            self.names.add(member.name)

    def path(self, name: str) -> str:
        parts = parts_of(name)
        name = "/".join(parts)
        for artifact, place in self._places.items():
            if name == artifact or name.startswith(artifact + "/"):
                return os.path.join(place, name[len(artifact) + 1 :]) if name != artifact else place
        return (
            os.path.join(self._folder.home, *parts[1:])
            if parts[:1] == ["~"]
            else os.path.join(self._folder.work, *parts)
        )

    def make_room(self, path: str, name: str) -> None:
        if path in self._real:
            raise BadArchive(f"{name!r} would replace a folder")
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def make_way(self, path: str, name: str) -> None:
        os.unlink(path)

    def _place(self, artifact: str) -> str:
        """Where it lies: the artifact's own path may lead through links of the code, as it did when it was saved; what is below
        it never does."""
        real = os.path.realpath(self._folder.place(artifact))
        if any(real == top or real.startswith(top + "/") for top in self._tops):
            return real
        return str(self._folder.place(artifact))

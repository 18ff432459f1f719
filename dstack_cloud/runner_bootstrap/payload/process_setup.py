"""Setups without a container: what is kept is the Python environment that the commands installed into."""

# Plain strings for paths: a Path for each of ten thousand files doubles the time.
# ruff: noqa: PTH102, PTH211

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload import interpreter
from dstack_cloud.runner_bootstrap.payload.executor import Executor, Failure
from dstack_cloud.runner_bootstrap.payload.fingerprint import fingerprint, fingerprint_of
from dstack_cloud.runner_bootstrap.payload.folder import Folder, remove_tree
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.process_executor import ProcessExecutor
from dstack_cloud.runner_bootstrap.payload.setup import UNUSED_SECONDS, download_places, lost, setup_job
from dstack_cloud.runner_bootstrap.payload.spool import Spool
from dstack_cloud.runner_bootstrap.payload.tree import Entry, walk
from dstack_cloud.runner_bootstrap.payload.unpack import Source

ABOUT = "about.json"
PYTHON = "python"
# files that say where they lie: scripts by their first line, links to what is installed in place
_TELLING = (".pth", ".egg-link", "direct_url.json")
_LARGEST_TELLING = 2**20


class EnvironmentKeep:
    """Each is a folder: the environment, and a file that says of whom it is and how it looked. Jobs get hard links to its files; one
    that a job wrote into all the same is noticed and made anew."""

    travels = False

    def __init__(self, folder: Folder, job: Job, spool: Spool, kept: str) -> None:
        """`kept`: the folder of all; "": this one ends with the job."""
        self._folder = folder
        self._job = job
        self._spool = spool
        self._kept = Path(kept) if kept else folder.root / "setups"

    def base(self) -> str:
        python = self._folder.python / "bin" / "python"
        info = python.stat()
        system = f"{os.uname().sysname} {os.uname().machine} {python.resolve()} {info.st_size} {info.st_mtime_ns}"
        return f"{system} {' '.join(self._beside(python.resolve().parent.parent))}"

    def _beside(self, prefix: Path) -> list[str]:
        """Of the packages of the interpreter and of the active virtual environment, which the job's sees, too, when one was last
        installed or removed: what is there `pip` doesn't install."""
        versions = [place.name for place in self._folder.python.glob("lib/python3.*")]
        # of Debian's Python
        prefixes = (prefix, prefix / "local")
        places = [top / "lib" / name for top in prefixes for name in (*versions, "python3")]
        found = [place for top in places for place in (top / "site-packages", top / "dist-packages") if place.is_dir()]
        found += interpreter.seen_beside(self._folder.python)
        return [f"{place} {place.stat().st_mtime_ns}" for place in found]

    def takes_packed(self) -> bool:
        return False

    def use(self, key: str) -> bool:
        """Another job may put a new one in its place meanwhile: then what was given is of both, and is given once more."""
        place = self._kept / key
        told = _told(place)
        while told:
            given = self._given(place, told)
            before, told = told, _told(place)
            if told == before:
                return given
        return False

    def _given(self, place: Path, told: str) -> bool:
        try:
            about = json.loads(told)
            entries = list(walk(str(place / PYTHON), warn=_missing))
            if fingerprint_of(entries) != about["fingerprint"]:
                return False
            _give(entries, self._folder, str(about["root"]))
            os.utime(place / ABOUT)
        except (OSError, ValueError, KeyError):
            # removed just now
            return False
        return True

    def builder(self) -> Executor:
        here = self._folder.setup
        for path, place in download_places(self._folder, self._job):
            place.mkdir(parents=True, exist_ok=True)
            link = here.place(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(place)
        made = ProcessExecutor(here, setup_job(self._job), self._spool)
        made.prepare(lambda text: None)
        return made

    def keep(self, key: str) -> None:
        self._kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._kept / f".{self._job.attempt}"
        try:
            partial.mkdir(exist_ok=True)
            shutil.move(self._folder.setup.python, partial / PYTHON)
            about = {
                "workflow": self._job.workflow,
                "root": str(self._folder.setup.root),
                "fingerprint": fingerprint(partial / PYTHON),
            }
            (partial / ABOUT).write_text(json.dumps(about))
            # from here, where no other job reaches it
            _give(list(walk(str(partial / PYTHON), warn=_missing)), self._folder, about["root"])
            _replace(partial, self._kept / key)
        except OSError as error:
            remove_tree(partial)
            raise lost(error, "can't be kept") from error
        _sweep(self._kept)

    def take(self, key: str, source: Source) -> None:
        raise Failure("input", "an environment of Python comes from no other machine")

    def give(self, key: str) -> Iterator[bytes]:
        raise Failure("input", "an environment of Python goes to no other machine")


def remove_kept(place: Path) -> None:
    """At once for whoever is about to use it: half of one never looks like a whole one."""
    old = place.with_name(f".{place.name}.old")
    remove_tree(old)
    with contextlib.suppress(OSError):
        place.rename(old)
    remove_tree(old)


def _told(place: Path) -> str:
    """What it says of itself, which no other says; "" where there is none."""
    try:
        return (place / ABOUT).read_text()
    except (OSError, ValueError):
        return ""


def _replace(new: Path, place: Path) -> None:
    """Whoever comes in between finds nothing, and makes its own."""
    old = new.with_name(f"{new.name}.old")
    try:
        place.rename(old)
    except FileNotFoundError:
        pass
    try:
        new.rename(place)
    except OSError:
        # another job made the same at the same time
        if not place.exists():
            raise
        remove_tree(new)
    remove_tree(old)


def _give(entries: Sequence[Entry], folder: Folder, root: str) -> None:
    """Puts it where the job's environment is; files that say where they lie are written afresh. Raises OSError."""
    remove_tree(folder.python)
    top, old, new = str(folder.python), root.encode(), str(folder.root).encode()
    for entry in entries:
        target = f"{top}/{entry.name}"
        if entry.target:
            os.symlink(entry.target, target)
        elif not entry.is_file:
            os.mkdir(target, entry.info.st_mode & 0o777 | 0o700)
        elif not (_tells(entry.name, entry.info.st_size) and _rewrite(Path(entry.path), Path(target), old, new)):
            _link(entry.path, target)


def _tells(name: str, size: int) -> bool:
    folder, _, file = name.rpartition("/")
    return size <= _LARGEST_TELLING and (
        folder.split("/")[-1] == "bin" or file.endswith(_TELLING) or file.startswith("__editable__")
    )


def _rewrite(source: Path, target: Path, old: bytes, new: bytes) -> bool:
    content = source.read_bytes()
    if old not in content:
        return False
    target.write_bytes(content.replace(old, new))
    target.chmod(source.stat().st_mode & 0o777)
    return True


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        # another file system, or one without links
        shutil.copy2(source, target)


def _missing(text: str) -> None:
    raise FileNotFoundError(text)


def _sweep(kept: Path) -> None:
    """What nothing has used for long, and what an attempt that was cut off left behind."""
    for place in kept.iterdir():
        seen = place / ABOUT if (place / ABOUT).exists() else place
        try:
            old = time.time() - seen.stat().st_mtime > UNUSED_SECONDS
        except OSError:
            continue
        if old:
            remove_kept(place)

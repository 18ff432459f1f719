"""The wheels that a courier needs on a machine: fetched once a Python version and architecture, kept, checked by hash.

    python -m dstack_cloud.courier.wheels prefetch [FOLDER]

fetches them all, for a server that reaches no registry: FOLDER's content then goes into its cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dstack_cloud import errors

LOCK = Path(__file__).with_name("wheels.txt")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
# glibc 2.28 is older than what any machine with such a Python has
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
FETCH_SECONDS = 120
# the other way to bind zstandard, and what only type checkers read: a third of the bytes
NOT_SHIPPED = re.compile(r"/_cffi\.|/backend_cffi\.py$|\.pyi$|/sboms/|/fsspec\.py$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MARKER = re.compile(r"python_full_version (<|>=) '(\d+\.\d+)'")


@dataclass(frozen=True)
class Needed:
    """One requirement with the hashes of all wheels that it may be."""

    requirement: str
    hashes: frozenset[str]


def needed(python: str, lock: Path = LOCK) -> list[Needed]:
    """What a machine with that Python ("3.11") needs, of a file of pinned requirements."""
    version = tuple(int(part) for part in python.split("."))
    found = []
    for block in re.split(r"\n(?=\w)", lock.read_text()):
        head = block.partition("\\")[0].strip()
        if "==" in head and _applies(head, version):
            found.append(Needed(head.partition(";")[0].strip(), frozenset(_HASH.findall(block))))
    return found


def _applies(head: str, version: tuple[int, ...]) -> bool:
    marker = _MARKER.search(head)
    if marker is None:
        return True
    limit = tuple(int(part) for part in marker[2].split("."))
    return (version < limit) if marker[1] == "<" else (version >= limit)


def default_cache() -> Path:
    """By the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "dstack-cloud" / "wheels"


class Wheels:
    """`folder` is the cache, None: the usual place; `lock` has the pinned requirements. Thread-safe."""

    def __init__(self, folder: Path | None = None, lock: Path = LOCK) -> None:
        self._folder = folder
        self._pinned = lock
        self._lock = threading.Lock()
        self._libraries: dict[tuple[str, str], bytes] = {}

    @property
    def folder(self) -> Path:
        return self._folder or default_cache()

    def library(self, python: str, machine: str) -> bytes:
        """A zip archive of what goes beside the courier on such a machine. Raises errors.NotFound with the reason."""
        key = (python, machine)
        # what was asked for first is fetched while the others wait for it
        with self._lock:
            if key not in self._libraries:
                self._libraries[key] = _joined(self._wheels(python, machine))
            return self._libraries[key]

    def fetch(self, python: str, machine: str) -> list[Path]:
        """The wheels, from the cache or a registry. Raises errors.NotFound."""
        place = self.folder / f"{python}-{machine}"
        wanted = needed(python, self._pinned)
        found = _verified(place, wanted)
        if found is None:
            _download(place, wanted, python, machine)
            found = _verified(place, wanted)
        if found is None:
            raise errors.NotFound(f"pip fetched other wheels than those asked for into {place}", "remove that folder")
        return found

    def _wheels(self, python: str, machine: str) -> list[bytes]:
        installed = _installed(python, machine)
        return installed or [path.read_bytes() for path in self.fetch(python, machine)]


def prefetch(folder: Path) -> list[str]:
    """Fetches what any machine may need; what couldn't be had, as sentences."""
    problems = []
    for python in PYTHONS:
        for machine in MACHINES:
            try:
                Wheels(folder).fetch(python, machine)
            except errors.NotFound as error:
                problems.append(f"Python {python} on {machine}: {error.summary}")
    return problems


def _verified(place: Path, wanted: list[Needed]) -> list[Path] | None:
    """One whole wheel for each requirement; None where one lacks."""
    by_digest = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in place.glob("*.whl")}
    found = [next((by_digest[d] for d in each.hashes if d in by_digest), None) for each in wanted]
    return [path for path in found if path is not None] if all(found) else None


def _download(place: Path, wanted: list[Needed], python: str, machine: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_text("".join(_line(each) for each in wanted))
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--require-hashes"),
            *(f"--platform={name}_{machine}" for name in PLATFORMS),
            *(f"--dest={folder}", f"--requirement={lock}"),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise errors.NotFound(f"pip didn't fetch them within {FETCH_SECONDS} seconds") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            raise errors.NotFound(f"pip can't fetch them: {lines[-1] if lines else f'exit code {done.returncode}'}")
        place.mkdir(exist_ok=True)
        for wheel in Path(folder).glob("*.whl"):
            wheel.replace(place / wheel.name)


def _line(each: Needed) -> str:
    return " ".join((each.requirement, *(f"--hash=sha256:{digest}" for digest in sorted(each.hashes)))) + "\n"


def _installed(python: str, machine: str) -> list[bytes] | None:
    """What this very program runs with, where the machine is of its kind: nothing need be fetched then."""
    version = ".".join(platform.python_version_tuple()[:2])
    here = (version, platform.machine(), sys.implementation.name, sys.platform)
    if here != (python, machine, "cpython", "linux"):
        return None
    found = [_repacked(each.requirement.partition("==")[0]) for each in needed(python)]
    return [wheel for wheel in found if wheel is not None] if all(found) else None


def _repacked(name: str) -> bytes | None:
    """The wheel that a distribution was installed from, or as good as; None where it fits this computer only."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    files = [file for file in distribution.files or () if ".." not in file.parts and "__pycache__" not in file.parts]
    if "manylinux" not in (distribution.read_text("WHEEL") or ""):
        return None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            path = Path(str(distribution.locate_file(file)))
            if not NOT_SHIPPED.search(f"/{file}") and path.is_file():
                archive.writestr(zipfile.ZipInfo(str(file), (1980, 1, 1, 0, 0, 0)), path.read_bytes())
    return buffer.getvalue()


def _joined(wheels: list[bytes]) -> bytes:
    """One archive of several, without what machines have no use for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as joined:
        for wheel in wheels:
            with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
                for name in archive.namelist():
                    if not name.endswith("/") and not NOT_SHIPPED.search(f"/{name}"):
                        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                        entry.compress_type = zipfile.ZIP_DEFLATED
                        # the highest level saves a tenth of the bytes, and costs the first job of a server half a second
                        joined.writestr(entry, archive.read(name), compresslevel=3)
    return buffer.getvalue()


if __name__ == "__main__":
    if sys.argv[1:2] != ["prefetch"] or len(sys.argv) > 3:
        sys.exit("usage: python -m dstack_cloud.courier.wheels prefetch [FOLDER]")
    problems = prefetch(Path(sys.argv[2]) if len(sys.argv) > 2 else default_cache())
    sys.exit("\n".join(problems) if problems else 0)

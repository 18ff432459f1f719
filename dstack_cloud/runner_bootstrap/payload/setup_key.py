"""What a setup's result depends on, as one hash: where it is the same, the result is used again."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.tree import walk

# raised where the same commands would be kept in another way
VERSION = "3"
# of a key's hexadecimal digits: so many stand for what is asked, the others for what the commands are run on top of
ASKED, ON_TOP = 24, 8
_WORDS = re.compile(r"""[\s;|&<>()"'`=,]+""")
_VARIABLES = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
# what stands before a path: options that need no space, a URL's scheme, and names of the folder where the commands start
_PREFIX = re.compile(r"^(?:-[cer]|file:(?://)?|\$PWD(?:/|$)|\$\{PWD\}(?:/|$)|\./)+")
_GLOB = re.compile(r"[*?[]")
# lists of packages, which may name other files
_LISTS = (".txt", ".in")
_WHEEL = ".whl"
_LONGEST_LIST = 2**20
READ_SIZE = 2**20


class Named(NamedTuple):
    """What tells which files of the working folder count. `made`: paths that jobs write to."""

    setup: tuple[str, ...]
    working_dir: str
    caches: tuple[str, ...]
    made: tuple[str, ...]


def everything(path: Path) -> bool:
    return True


def key_of(job: Job, work: Path, base: str) -> str:
    """Of the commands, of what they are run on top of (the image and its content, or the interpreter: `base`), of the files and folders
    of the working folder that they name, and of the variables that they name."""
    named = Named(job.setup, job.working_dir, job.caches, (*job.artifacts, *itertools.chain(*job.deps)))
    return asked(job, digests(named, work)) + _keyed(job, base)[:ON_TOP]


def asked(job: Job, found: Mapping[str, str]) -> str:
    """The part of the key that can be told without a machine. `found`: from `digests`."""
    texts = "\n".join(job.setup)
    env = {name: job.env[name] for name in sorted(set(_VARIABLES.findall(texts))) if _counts(name, job)}
    home = job.home_dir if job.mode == "docker" else ""
    on_top = [job.mode, job.image if job.mode == "docker" else job.python]
    return _keyed(job, [VERSION, *on_top, job.working_dir, home, list(job.setup), env, dict(found)])[:ASKED]


def _keyed(job: Job, parts: object) -> str:
    """With the server's salt, since a variable's value may be worth guessing."""
    text = json.dumps(parts, sort_keys=True).encode(errors="surrogateescape")
    return hmac.new(job.setup_salt.encode(), text, hashlib.sha256).hexdigest()


def digests(named: Named, work: Path, there: Callable[[Path], bool] = everything) -> dict[str, str]:
    """Of each path that is named. What is in caches isn't there for the setup; what jobs make counts where it is named itself only, for
    it is another at each run. `there`: what of the folder counts at all."""
    work = _normal(work)
    caches = _places(named.caches, work)
    made = caches | _places(named.made, work)
    paths = sorted(named_files(named.setup, work / named.working_dir, work, there))
    return {os.path.relpath(path, work): _digest(path, work, made, there) for path in paths if not _is_in(path, caches)}


def _places(paths: Iterable[str], work: Path) -> set[Path]:
    """Those in the working folder, but not the whole of it."""
    return {_normal(work / path) for path in paths if not path.startswith("~")} - {work}


def _is_in(path: Path, places: set[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def named_files(
    commands: tuple[str, ...], place: Path, work: Path, there: Callable[[Path], bool] = everything
) -> set[Path]:
    """Files and folders in the working folder `work` that they name, starting at `place`; and those that lists of packages among
    them name in turn, for which both the list's folder and `place` may be meant."""
    found: set[Path] = set()
    pending = [(command, {place}) for command in commands]
    while pending:
        text, folders = pending.pop()
        for path in filter(there, _named(text, folders, work) - found):
            found.add(path)
            if path.suffix in _LISTS and path.is_file() and path.stat().st_size <= _LONGEST_LIST:
                pending.append((_lines_with_paths(path), {path.parent, place}))
            elif path.is_dir() and path != place:
                # `cd` leads there, and `..` from there
                pending += [(word, {path}) for command in commands for word in _WORDS.split(command) if ".." in word]
    return found


def _counts(name: str, job: Job) -> bool:
    """A secret that was renewed still opens the same door."""
    return name in job.env and name not in job.secrets and not name.startswith("DSTACK_")


def _named(text: str, folders: set[Path], work: Path) -> set[Path]:
    words = set(_WORDS.split(text))
    found = {path for word in words for folder in folders for path in _there(word, folder, work)}
    return {path for path in found if path.is_relative_to(work)}


def _there(word: str, folder: Path, work: Path) -> Iterator[Path]:
    bare = _PREFIX.sub("", word)
    # an option alone names nothing; `./` does
    if bare.startswith(("/", "-", "~")) or not (bare or word.endswith(("/", "PWD", "PWD}"))):
        return
    path = _normal(folder / bare)
    try:
        if _GLOB.search(bare):
            # the extras of a package (`.[dev]`) look like a pattern, too
            package = _normal(folder / bare.partition("[")[0])
            if path.is_relative_to(work):
                yield from work.glob(str(path.relative_to(work)))
            if bare.endswith("]") and package.exists():
                yield package
        elif os.path.lexists(path):
            yield path
    except (OSError, ValueError):
        return  # no path at all


def _normal(path: Path) -> Path:
    """By its text: links stay what they are."""
    return Path(os.path.normpath(path))


def _lines_with_paths(file: Path) -> str:
    """Of a list of packages: options (`-r other.txt`) and paths (`./package`, `file:package`)."""
    lines = map(str.strip, file.read_text(errors="replace").splitlines())
    return "\n".join(
        line for line in lines if line.startswith(("-", ".")) or "/" in line or "file:" in line or _WHEEL in line
    )


def _digest(path: Path, work: Path, made: set[Path], there: Callable[[Path], bool]) -> str:
    """Of the names, modes and contents of all that is there, but for what is `made` below. The working folder itself is another on each
    machine."""
    digest = hashlib.sha256()
    below = {str(place) for place in made if place != path and place.is_relative_to(path)}
    above = {str(parent) for place in below for parent in Path(place).parents}
    for entry in walk(str(path), warn=lambda text: None):
        # a folder around what is made may be there only because of it
        if entry.path in above or any(f"{entry.path}/".startswith(f"{place}/") for place in below):
            continue
        if not there(Path(entry.path)):
            continue
        mode = 0 if entry.path == str(work) else entry.info.st_mode
        digest.update(f"{entry.name}\0{mode:o}\0{entry.target}\n".encode(errors="surrogateescape"))
        if entry.is_file:
            digest.update(b"%d\n" % entry.info.st_size)
            with open(entry.path, "rb") as file:  # noqa: PTH123 - a plain string, see `walk`
                while data := file.read(READ_SIZE):
                    digest.update(data)
    return digest.hexdigest()

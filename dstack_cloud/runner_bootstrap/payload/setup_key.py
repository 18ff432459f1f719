"""What a setup's result depends on, as one hash: where it is the same, the result is used again."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.tree import walk

# raised where the same commands would be kept in another way
VERSION = "2"
_WORDS = re.compile(r"""[\s;|&<>()"'`=,]+""")
_VARIABLES = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_GLOB = re.compile(r"[*?[]")
# lists of packages, which may name other files
_LISTS = (".txt", ".in")
_LONGEST_LIST = 2**20
READ_SIZE = 2**20


def key_of(job: Job, work: Path, base: str) -> str:
    """Of the commands, of what they are run on top of (`base`), of the files and folders of the working folder that they name,
    and of the variables that they name. Keyed with the server's salt, since a variable's value may be worth guessing."""
    texts = "\n".join(job.setup)
    env = {name: job.env[name] for name in sorted(set(_VARIABLES.findall(texts))) if _counts(name, job)}
    place = work / job.working_dir
    files = {os.path.relpath(path, work): _digest(path) for path in sorted(named_files(job.setup, place))}
    parts = [VERSION, job.mode, base, job.working_dir, list(job.setup), env, files]
    text = json.dumps(parts, sort_keys=True).encode(errors="surrogateescape")
    return hmac.new(job.setup_salt.encode(), text, hashlib.sha256).hexdigest()[:32]


def named_files(commands: tuple[str, ...], place: Path) -> set[Path]:
    """Files and folders below `place`, where the commands start, that they name; and those that lists of packages among them
    name in turn."""
    found: set[Path] = set()
    pending = [(command, place) for command in commands]
    while pending:
        text, folder = pending.pop()
        for path in _named(text, folder) - found:
            found.add(path)
            if path.suffix in _LISTS and path.is_file() and path.stat().st_size <= _LONGEST_LIST:
                pending.append((_lines_with_paths(path), path.parent))
    return found


def _counts(name: str, job: Job) -> bool:
    """A secret that was renewed still opens the same door."""
    return name in job.env and name not in job.secrets and not name.startswith("DSTACK_")


def _named(text: str, folder: Path) -> set[Path]:
    return {path for word in set(_WORDS.split(text)) if word for path in _there(word, folder)}


def _there(word: str, folder: Path) -> Iterator[Path]:
    word = word.removeprefix("./").rstrip("/") or "."
    if word.startswith(("/", "-", "~")) or ".." in word.split("/"):
        return
    try:
        if _GLOB.search(word):
            # the extras of a package (`.[dev]`) look like a pattern, too
            bare = folder / (word.partition("[")[0] or ".")
            yield from folder.glob(word)
            if word.endswith("]") and bare.exists():
                yield bare
        elif os.path.lexists(folder / word):
            yield folder / word
    except (OSError, ValueError):
        return  # no path at all


def _lines_with_paths(file: Path) -> str:
    """Of a list of packages: options (`-r other.txt`) and paths (`./package`)."""
    lines = file.read_text(errors="replace").splitlines()
    return "\n".join(line for line in map(str.strip, lines) if line.startswith(("-", ".")) or line.endswith(".whl"))


def _digest(path: Path) -> str:
    """Of the names, modes and contents of all that is there."""
    digest = hashlib.sha256()
    for entry in walk(str(path), warn=lambda text: None):
        digest.update(f"{entry.name}\0{entry.info.st_mode:o}\0{entry.target}\n".encode(errors="surrogateescape"))
        if entry.is_file:
            digest.update(b"%d\n" % entry.info.st_size)
            with open(entry.path, "rb") as file:  # noqa: PTH123 - a plain string, see `walk`
                while data := file.read(READ_SIZE):
                    digest.update(data)
    return digest.hexdigest()

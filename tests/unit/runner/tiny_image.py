"""A container image made of this machine's own shell and tools, for no registry is needed to test with it."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.engine import Engine

PROGRAMS = (
    "sh",
    "bash",
    "cat",
    "chmod",
    "chown",
    "dd",
    "echo",
    "env",
    "false",
    "head",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "setsid",
    "sleep",
)
PROGRAMS += ("stat", "tail", "tar", "touch", "tr", "true", "yes")


def tiny_image(engine: Engine) -> str:
    """The image's name; made once, and kept, since its name says what is in it."""
    content = _root()
    name = f"dstack-cloud-test:{hashlib.sha256(content).hexdigest()[:12]}"
    if not engine.image_exists(name):
        query = {"fromSrc": "-", "repo": name.partition(":")[0], "tag": name.partition(":")[2]}
        engine.open("POST", "/images/create", query, body=content).read()
    return name


def _root() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in PROGRAMS:
            program = shutil.which(name)
            assert program, f"this machine has no {name}"
            _add(archive, f"bin/{name}", Path(program))
        for library in _libraries():
            _add(archive, library.lstrip("/"), Path(library))
        _folder(archive, "tmp", 0o1777)
        _folder(archive, "root", 0o700)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, source: Path) -> None:
    content = source.resolve().read_bytes()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    archive.addfile(member, io.BytesIO(content))


def _folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    archive.addfile(member)


def _libraries() -> list[str]:
    found = set()
    for name in PROGRAMS:
        shown = subprocess.run(["ldd", str(shutil.which(name))], capture_output=True, text=True).stdout
        found.update(re.findall(r"(/\S+) \(0x", shown))
    return sorted(found)

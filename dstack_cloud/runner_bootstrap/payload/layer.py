"""The writable layer of a container that hasn't started yet, reached past the engine.

What is unpacked there is written once, by one program. The engine would write it into a container, read all of it again to make an
image, and write it a second time. Nothing but the container needs it where the machine ends with its job.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from dstack_cloud.runner_bootstrap.payload.engine import Engine
from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive, Source, parts_of

# what lies in its upper folder while it isn't mounted is part of what it shows: docs.kernel.org/filesystems/overlayfs.html
DRIVER = "overlay2"
# how a frame begins: https://www.rfc-editor.org/rfc/rfc8878
PACKED = b"\x28\xb5\x2f\xfd"
OPAQUE = "trusted.overlay.opaque"
READ_SIZE = 2**20


def layer_of(engine: Engine, container: str) -> Path | None:
    """None where this program can't write to it: it isn't root, or the engine keeps its layers in another way. Raises EngineError."""
    if os.getuid() != 0 or shutil.which("tar") is None:
        return None
    driver = (engine.inspect(container) or {}).get("GraphDriver") or {}
    place = Path(str((driver.get("Data") or {}).get("UpperDir", "")))
    return place if driver.get("Name") == DRIVER and place.is_absolute() and place.is_dir() else None


def takes_packed(engine: Engine) -> bool:
    """Whether `unpack_into` may be given what is packed with zstandard; where it can be reached is known with the container only.
    Raises EngineError."""
    programs = shutil.which("tar") is not None and shutil.which("zstd") is not None
    return os.getuid() == 0 and programs and engine.info().get("Driver") == DRIVER


def unpack_into(layer: Path, source: Source) -> None:
    """A tar, also one that is packed with zstandard; owners and modes as the tar has them. Raises Failure, and what the source raises."""
    first = source.read(len(PACKED))
    unpacking = ["-I", "zstd"] if first == PACKED else []
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(
            ["tar", "-x", "-p", "--numeric-owner", *unpacking, "-f", "-", "-C", str(layer)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        try:
            with program.stdin as sink:  # type: ignore[union-attr]
                _copy(first, source, sink)
        except BaseException:
            program.kill()
            raise
        finally:
            code = program.wait()
        if code:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise Failure("input", f"the setup can't be unpacked: {lines[0] if lines else f'exit code {code}'}")


def remove_from(layer: Path, paths: Iterable[str]) -> None:
    """Hides what the image has there, the way the kernel does it: a device of number 0 stands for what isn't there any more, and a
    folder that was made anew is marked as the only one. What the tar brought stays. Raises Failure."""
    try:
        for path in sorted(filter(None, paths)):
            place = Path(os.path.realpath(layer), *parts_of(path))
            # where the folder itself is hidden, so is all in it
            if os.path.realpath(place.parent) != str(place.parent) or not place.parent.is_dir():
                continue
            if not os.path.lexists(place):
                os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
            elif place.is_dir() and not place.is_symlink():
                os.setxattr(place, OPAQUE, b"y")
    except (OSError, BadArchive) as error:
        raise Failure("input", f"what the setup removed can't be removed: {error}") from error


def _copy(data: bytes, source: Source, sink: IO[bytes]) -> None:
    """`data` and all behind it, also where nobody reads any more: the exit code says why, or the archive was over."""
    wanted = True
    while data:
        try:
            if wanted:
                sink.write(data)
        except BrokenPipeError:
            wanted = False
        data = source.read(READ_SIZE)

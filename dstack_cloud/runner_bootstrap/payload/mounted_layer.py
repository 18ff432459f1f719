"""A layer of a container that is mounted instead of written: an image of the engine whose last layer has nothing but a mark, and a file
system over that layer's folder. The engine joins it with the others as if it had been written there.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dstack_cloud.runner_bootstrap.payload import erofs
from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError, Json
from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.layer import DRIVER, PACKED, READ_SIZE
from dstack_cloud.runner_bootstrap.payload.setup import Joined
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive, Source

# the images of which such layers are part, by the attempt whose job has one
REPOSITORY, LABEL = "dstack-mounted", "dstack.mounted"
# beside the layer's folder, with which the engine removes it
FILE = "dstack-setup.erofs"
MARK = ".dstack-mounted"
EMPTY_TAR = bytes(1024)


def engines_folder(engine: Engine) -> Path | None:
    """Where the engine has its layers, if one can be mounted there; else None. Raises EngineError."""
    if os.getuid() != 0:
        return None
    found = engine.info()
    folder = Path(str(found.get("DockerRootDir", "")))
    return folder if found.get("Driver") == DRIVER and folder.is_dir() and _mounts(folder) else None


def _mounts(folder: Path) -> bool:
    """Whether this kernel mounts a file that lies there: known for sure by doing it."""
    with tempfile.TemporaryDirectory(prefix="dstack-", dir=folder) as made:
        file, place = Path(made, "file"), Path(made, "place")
        place.mkdir()
        try:
            erofs.make(io.BytesIO(EMPTY_TAR), file, "")
            erofs.mount(file, place)
            erofs.unmount(place)
        except OSError:
            return False
    return True


def make_image(engine: Engine, container: str, tag: str, config: Json) -> None:
    """Of a container of the image that is to be below, which hasn't been started. Raises EngineError."""
    # a layer without anything is left out, and one with the same as another is that one
    mark = tarfile.TarInfo(MARK)
    mark.type, mark.linkname = tarfile.SYMTYPE, container
    engine.put_archive(container, "/", mark.tobuf() + EMPTY_TAR)
    engine.commit(container, REPOSITORY, tag, config)


def layer_of(engine: Engine, image: str) -> Path:
    """The folder of its last layer. Raises EngineError."""
    driver = (engine.image(image) or {}).get("GraphDriver") or {}
    place = Path(str((driver.get("Data") or {}).get("UpperDir", "")))
    if not place.is_absolute() or not place.is_dir():
        raise EngineError("its layer isn't where the engine says")
    return place


def take(source: Source, file: Path, deleted: str) -> erofs.Tree:
    """Writes what is to be mounted: a tar, also one that is packed with zstandard. Raises Failure, and what the source raises."""
    try:
        with _plain(source) as plain:
            return erofs.make(plain, file, deleted)
    except (BadArchive, OSError) as error:
        raise Failure("input", f"the setup can't be unpacked: {error}") from error


def lay(engine: Engine, image: str, file: Path) -> None:
    """Over the image's last layer. Raises EngineError, Failure."""
    place = layer_of(engine, image)
    if not os.path.lexists(place / MARK):
        raise Failure("input", "the setup can't be mounted: the engine keeps its layers in another way")
    try:
        erofs.mount(file.rename(place.parent / FILE), place)
    except OSError as error:
        raise Failure("input", f"the setup can't be mounted: {error}") from error


def release(engine: Engine, attempt: str) -> None:
    """Undoes what was laid for the attempt, whose container is gone. Raises EngineError."""
    for found in engine.images({LABEL: attempt}):
        with contextlib.suppress(OSError, EngineError):
            erofs.unmount(layer_of(engine, found["Id"]))
        engine.remove_image(found["Id"])


def is_seen(engine: Engine, container: str, path: str, size: int) -> bool:
    """Whether the engine finds the file in the container: it may have a view of its own of what is mounted. "" is everywhere.
    Raises EngineError."""
    if not path:
        return True
    try:
        response = engine.open("HEAD", f"/containers/{container}/archive", {"path": f"/{path}"})
    except EngineError as error:
        if error.status == 404:
            return False
        raise
    told = json.loads(base64.b64decode(response.headers.get("X-Docker-Container-Path-Stat", "")) or "{}")
    return bool(told.get("size") == size)


def labels(attempt: str) -> Json:
    return {LABEL: attempt}


@contextlib.contextmanager
def _plain(source: Source) -> Iterator[Source]:
    first = source.read(len(PACKED))
    whole = Joined(first, source)
    if first != PACKED:
        yield whole
        return
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(["zstd", "-d", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        feeding = _Feeding(whole, program.stdin)  # type: ignore[arg-type]
        try:
            yield program.stdout  # type: ignore[misc]
        except BaseException:
            program.kill()
            raise
        finally:
            program.stdout.close()  # type: ignore[union-attr]
            code = program.wait()
            feeding.join()
            if feeding.error is not None:
                raise feeding.error
        if code:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise BadArchive(lines[0] if lines else f"exit code {code}")


class _Feeding(threading.Thread):
    """Gives a program all that the source has, also where it reads no more: its exit code says why, or the archive was over."""

    def __init__(self, source: Source, sink: IO[bytes]) -> None:
        super().__init__(name="setup", daemon=True)
        self.error: Exception | None = None
        self._source, self._sink = source, sink
        self.start()

    def run(self) -> None:
        wanted = True
        try:
            while data := self._source.read(READ_SIZE):
                try:
                    if wanted:
                        self._sink.write(data)
                except BrokenPipeError:
                    wanted = False
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        finally:
            with contextlib.suppress(BrokenPipeError):
                self._sink.close()

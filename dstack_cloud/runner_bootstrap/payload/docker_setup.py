"""Setups in a container: what is kept is an image of the job's image and what the commands changed in it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import tarfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload import container, images, layer
from dstack_cloud.runner_bootstrap.payload.docker_executor import DockerExecutor
from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError, Json, frames
from dstack_cloud.runner_bootstrap.payload.executor import Commit, Executor, Failure
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.script import CONTAINER_KEEPER, joined
from dstack_cloud.runner_bootstrap.payload.setup import UNUSED_SECONDS, lost, setup_job
from dstack_cloud.runner_bootstrap.payload.spool import Spool
from dstack_cloud.runner_bootstrap.payload.unpack import Source

REPOSITORY = "dstack-setup"
LABEL, WORKFLOW_LABEL, FOLDER_LABEL = "dstack.setup", "dstack.setup.workflow", "dstack.setup.folder"
READ_SIZE = 2**18
BLOCK = tarfile.BLOCKSIZE
# of a packed one, before what was added and changed: the paths that were removed
DELETED = ".dstack-setup-deleted"
PATHS_INSIDE = "/dstack-setup-paths"
MODIFIED, ADDED, REMOVED = 0, 1, 2

# The environment comes through the standard input: what the container is created with would be kept in the image.
BOOT = 'eval "$(cat)"; exec /bin/sh -c "$1" dstack-job "$2" </dev/null'
# GNU tar takes names that end in zeros; others take lines, without the names that a line can't hold
PACK = f"""\
cd / || exit
tar --no-recursion -c -f - --null -T {PATHS_INSIDE}/zeros 2>/dev/null </dev/null && exit
exec tar --no-recursion -c -f - -T {PATHS_INSIDE}/lines"""
UNDO = f"""\
while IFS= read -r path; do rm -rf "/$path"; done </{DELETED}
rm -f /{DELETED}"""


class ImageKeep:
    travels = True

    def __init__(self, executor: DockerExecutor, folder: Folder, job: Job, spool: Spool, machine: Machine) -> None:
        self._executor = executor
        self._folder = folder
        self._job = job
        self._spool = spool
        self._machine = machine
        self._engine = Engine()
        self._builder: Builder | None = None
        # the key of what lies in the job's own container
        self._given = ""

    def base(self) -> str:
        found = self._base_image()
        config = found.get("Config") or {}
        layers = (found.get("RootFS") or {}).get("Layers")
        return repr([found.get("Os"), found.get("Architecture"), layers, config.get("Env"), config.get("User")])

    def takes_packed(self) -> bool:
        try:
            return self._machine.own and layer.takes_packed(self._engine)
        except EngineError as error:
            raise lost(error.message, "can't be looked for") from error

    def use(self, key: str) -> bool:
        if key == self._given:
            return True
        try:
            if not self._engine.image_exists(name_of(key)):
                return False
            # the engine notes when: what nothing has used for long goes
            self._engine.tag(name_of(key), REPOSITORY, key)
        except EngineError as error:
            raise lost(error.message, "can't be looked for") from error
        self._executor.image = name_of(key)
        return True

    def builder(self) -> Executor:
        self._builder = Builder(self._folder, self._job, self._spool, self._machine)
        return self._builder

    def keep(self, key: str) -> None:
        made = self._builder.container if self._builder else ""
        try:
            _write_paths(self._folder, self._engine.changes(made))
            self._commit(made, key)
        except EngineError as error:
            raise lost(_said(error), "can't be kept") from error
        if not self.use(key):
            raise lost("its image is gone again", "can't be used")

    def take(self, key: str, source: Source) -> None:
        try:
            if self._machine.own and self._give_to_job(source):
                self._given = key
                return
            deleted, rest = _split(source)
            made = self._engine.create(self._tool(self._job.image, UNDO))
            try:
                if deleted:
                    self._undo(made, deleted)
                self._engine.put_archive(made, "/", _chunks(rest))
                self._commit(made, key)
            finally:
                self._engine.remove(made)
        except EngineError as error:
            raise lost(_said(error), "can't be restored") from error

    def _give_to_job(self, source: Source) -> bool:
        """No other job comes to this machine, so no image is made. False where it can't be had so, and nothing was read."""
        given = False
        self._executor.create()
        try:
            place = layer.layer_of(self._engine, self._executor.container)
            if place is not None:
                layer.unpack_into(place, source)
                layer.remove_from(place, _taken(place / DELETED))
                given = True
        finally:
            if not given:
                self._executor.discard()
        return given

    def give(self, key: str) -> Iterator[bytes]:
        """What was changed, as one tar. It takes the image's own `tar`."""
        deleted = (self._folder.setup_paths / "deleted").read_bytes()
        yield _member(DELETED, deleted)
        try:
            made = self._engine.create(
                self._tool(name_of(key), PACK, [f"{self._folder.setup_paths}:{PATHS_INSIDE}:ro"])
            )
            try:
                yield from self._output(made)
            finally:
                self._engine.remove(made)
        except EngineError as error:
            raise lost(error.message, "can't be packed") from error

    def _output(self, made: str) -> Iterator[bytes]:
        source, early = self._engine.attach(made)
        try:
            self._engine.start(made)
            for stream, data in frames(source, early):
                if stream == 1:
                    yield data
        finally:
            os.close(source)
        if self._engine.wait(made) != 0:
            raise EngineError("the image's `tar` fails, or it has none")

    def _undo(self, made: str, deleted: bytes) -> None:
        self._engine.put_archive(made, "/", _member(DELETED, deleted) + bytes(2 * BLOCK))
        self._engine.start(made)
        if self._engine.wait(made) != 0:
            raise EngineError("what it removed couldn't be removed")

    def _commit(self, made: str, key: str) -> None:
        """The image's own settings with it: nothing of the container that made it."""
        config = dict(self._base_image().get("Config") or {})
        labels = {LABEL: key, WORKFLOW_LABEL: self._job.workflow, FOLDER_LABEL: self._machine.setups}
        # a container has its image's labels, and the one that made this is another attempt's
        labels[container.ATTEMPT_LABEL] = ""
        config |= {
            "Labels": {**(config.get("Labels") or {}), **labels},
            "Entrypoint": config.get("Entrypoint") or [],
            "Cmd": config.get("Cmd") or [],
        }
        self._engine.commit(made, REPOSITORY, key, config)
        sweep(self._engine)

    def _base_image(self) -> Json:
        try:
            return self._engine.image(self._job.image) or {}
        except EngineError as error:
            raise lost(error.message, "can't be looked for") from error

    def _tool(self, image: str, script: str, binds: Sequence[str] = ()) -> Json:
        return {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", script],
            "Cmd": [],
            "User": "0:0",
            "WorkingDir": "/",
            "AttachStdout": True,
            "Labels": {container.PACKING_LABEL if binds else container.ATTEMPT_LABEL: self._job.attempt},
            "NetworkDisabled": True,
            "HostConfig": {"Binds": list(binds), "LogConfig": {"Type": "none"}},
        }


class Builder(DockerExecutor):
    """Runs the commands in a container that knows nothing that mustn't be kept."""

    def __init__(self, folder: Folder, job: Job, spool: Spool, machine: Machine) -> None:
        super().__init__(folder.setup, setup_job(job), spool, machine)
        self._environment: list[str] = []
        self._input = -1

    def start(self, commit: Commit) -> None:
        try:
            super().start(commit)
            if self._input >= 0:
                self._tell()
        finally:
            if self._input >= 0:
                os.close(self._input)

    def _config(self, user: str) -> Json:
        made = super()._config(user)
        self._environment = made["Env"]
        return {
            **made,
            "Entrypoint": ["/bin/sh", "-c", BOOT, "dstack-setup", CONTAINER_KEEPER, joined(self._job.commands)],
            "Env": ["TINI_KILL_PROCESS_GROUP=1"],
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
        }

    def _open_output(self) -> tuple[int, bytes]:
        source, early = self._engine.attach(self.container, told=True)
        self._input = os.dup(source)
        return source, early

    def _tell(self) -> None:
        pairs = [text.partition("=") for text in self._environment]
        lines = [f"export {name}={shlex.quote(value)}\n" for name, _, value in pairs]
        with socket.socket(fileno=os.dup(self._input)) as told:
            try:
                told.sendall("".join(lines).encode(errors="surrogateescape"))
                told.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise Failure("start", f"the setup couldn't be started: {error}") from error


def name_of(key: str) -> str:
    return f"{REPOSITORY}:{key}"


def sweep(engine: Engine, workflow: str | None = None, unused: float = UNUSED_SECONDS) -> None:
    """Removes images that nothing has used for long, and those that a newer one has replaced. `workflow`: its own only."""
    for found in engine.images({WORKFLOW_LABEL: workflow}):
        for name in names_of(found):
            if name != found["Id"] and time.time() - used_at(engine, name) <= unused:
                continue
            # one that a container needs stays, and is met again
            with contextlib.suppress(EngineError):
                engine.remove_image(name, force=False)


def used_at(engine: Engine, name: str) -> float:
    """When the image was last named, as it is at each use, or made. UTC seconds."""
    found = engine.image(name) or {}
    return max(_seconds(found.get("Created")), _seconds((found.get("Metadata") or {}).get("LastTagTime")))


def _seconds(told: object) -> float:
    """Of the engine's time, whose nanoseconds nothing here reads; 0.0 for never."""
    try:
        return max(datetime.fromisoformat(f"{str(told)[:19]}+00:00").timestamp(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def names_of(image: Json) -> list[str]:
    """Of one that the engine lists; its id where a newer one has taken its name."""
    return [name for name in image.get("RepoTags") or () if not name.startswith("<none>")] or [str(image["Id"])]


def _write_paths(folder: Folder, changes: Sequence[Json]) -> None:
    place = folder.setup_paths
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    place.chmod(0o755)
    made = [str(change["Path"]).lstrip("/") for change in changes if change["Kind"] in (MODIFIED, ADDED)]
    removed = [str(change["Path"]).lstrip("/") for change in changes if change["Kind"] == REMOVED]
    # a folder that was removed and made again has contents that are new
    above = {"/".join(parts[:end]) for path in made for parts in [path.split("/")] for end in range(1, len(parts))}
    paths = sorted({*made, *above.intersection(removed)})
    _write(place / "zeros", "".join(f"./{path}\0" for path in paths))
    _write(place / "lines", "".join(f"./{path}\n" for path in paths if "\n" not in path))
    _write(place / "deleted", "".join(f"{path}\n" for path in removed if "\n" not in path))


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))


def _taken(file: Path) -> list[str]:
    """The lines of a file that came along, and goes. Raises Failure where none came."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(fd, encoding="utf-8", errors="surrogateescape", newline="\n") as told:
            lines = told.read().split("\n")
        file.unlink()
    except OSError as error:
        raise Failure("input", "the setup came as something else") from error
    return lines


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK)


def _split(source: Source) -> tuple[bytes, Source]:
    """The first member's content, and the rest of the stream. Raises Failure where it is no such stream."""
    try:
        info = tarfile.TarInfo.frombuf(source.read(BLOCK), "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise Failure("input", f"the setup came as something else: {error}") from error
    if info.name != DELETED:
        raise Failure("input", "the setup came as something else")
    data = source.read(info.size + -info.size % BLOCK)
    return data[: info.size], source


def _chunks(source: Source) -> Iterator[bytes]:
    while data := source.read(READ_SIZE):
        yield data


def _said(error: EngineError) -> str:
    return f"the machine's disk is full ({error.message})" if images.is_full(error.message) else error.message

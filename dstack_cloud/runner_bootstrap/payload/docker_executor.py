"""Runs a job in a container of the machine's Docker engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload import container
from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError, EngineUnavailable, Json
from dstack_cloud.runner_bootstrap.payload.executor import Commit, Ending, Failure, Say
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.ports import Forwards, check_free, must_be_published
from dstack_cloud.runner_bootstrap.payload.spool import Spool

LAST_BYTES_SECONDS = 10.0


class DockerExecutor:
    def __init__(self, folder: Folder, job: Job, spool: Spool, engine: Engine | None = None) -> None:
        self._folder = folder
        self._job = job
        self._spool = spool
        self._engine = engine or Engine()
        self._container = ""
        self._ended = threading.Event()
        self._copier: threading.Thread | None = None
        self._log_fault = ""
        self._forwards: Forwards | None = None

    def prepare(self, say: Say) -> None:
        """The image, pulled only where the engine doesn't have it."""
        try:
            if self._engine.image_exists(self._job.image):
                return
            say(f"pulling {self._job.image}")
            progress = Progress()
            for record in self._engine.pull(self._job.image, self._job.registry_auth):
                say(f"pulling {self._job.image}{progress.after(record)}")
        except EngineUnavailable as error:
            raise Failure("start", f"{error.message}; start Docker, or run the workflow without an image") from error
        except EngineError as error:
            raise Failure("image", f"the image {self._job.image} can't be had: {error.message}") from error

    def start(self, commit: Commit) -> None:
        if not (self._folder.work / self._job.working_dir).is_dir():
            raise Failure("start", f"working_dir {self._job.working_dir} isn't in the source")
        try:
            user = self._image_user()
            self._make_places(user)
            self._take_ports()
            config = container.config(self._job, self._folder, user, publish=self._forwards is None)
            self._container = self._engine.create(config)
            commit({"container": self._container})
            output = self._engine.attach(self._container)
            self._copier = threading.Thread(target=self._copy, args=(output,), name="output", daemon=True)
            self._copier.start()
            self._engine.start(self._container)
            self._lead_ports()
        except EngineError as error:
            raise Failure("start", f"the container couldn't be started: {error.message}") from error

    def wait(self) -> Ending:
        try:
            code = self._engine.wait(self._container)
            found = self._engine.inspect(self._container)
        except EngineError as error:
            return Ending(None, "runner", f"the Docker engine was lost while the job ran: {error}")
        finally:
            self._ended.set()
        if found and found["State"].get("OOMKilled"):
            return Ending(code, "out_of_memory", "the job was killed because its memory ran out")
        return Ending(code)

    def terminate(self) -> None:
        self._signal("SIGTERM")

    def wait_gone(self, seconds: float) -> bool:
        return not self._container or self._ended.wait(seconds)

    def kill(self) -> None:
        self._signal("SIGKILL")

    def clean(self) -> list[str]:
        """Waits for the log's last bytes, removes the container, and takes its files back from root."""
        warnings = [self._log_fault] if self._log_fault else []
        if self._forwards is not None:
            self._forwards.close()
        if self._copier is not None and self._ended.is_set():
            self._copier.join(LAST_BYTES_SECONDS)
            if self._copier.is_alive():
                warnings.append("the end of the container's output didn't come: the log may lack its last lines")
        try:
            self.remove_all()
            if os.getuid() != 0:
                self._take_back()
        except EngineError as error:
            warnings.append(f"after the job: {error.message}")
        return warnings

    def remove_all(self) -> None:
        """Every container of this attempt, also those that an earlier runner made."""
        for found in self._engine.containers({container.ATTEMPT_LABEL: self._job.attempt}):
            self._engine.remove(found["Id"])

    def _image_user(self) -> str:
        image = self._engine.image(self._job.image) or {}
        return str((image.get("Config") or {}).get("User") or "root")

    def _make_places(self, user: str) -> None:
        """What is mounted must exist, or the engine makes it as root's; and be open to an image's own user."""
        if self._job.ca_bundle:
            self._folder.ca_bundle.write_text(self._job.ca_bundle)
            self._folder.ca_bundle.chmod(0o644)
        for here, _, mode in container.mounts(self._job, self._folder):
            if not mode:
                Path(here).mkdir(parents=True, exist_ok=True)
                if not container.is_root(user):
                    # nobody else gets this far: the folder around it is private
                    Path(here).chmod(0o777)

    def _take_ports(self) -> None:
        if must_be_published():
            check_free(self._job.ports)
        elif self._job.ports:
            self._forwards = Forwards(self._job.ports)

    def _lead_ports(self) -> None:
        if self._forwards is not None:
            found = self._engine.inspect(self._container) or {}
            address = str(found.get("NetworkSettings", {}).get("IPAddress", ""))
            self._forwards.lead(found.get("State", {}).get("Pid", 0), address, f"DSTACK_ATTEMPT={self._job.attempt}")

    def _copy(self, output: Iterator[bytes]) -> None:
        """To the end in any case: a container whose output nobody takes stands still."""
        with os.fdopen(self._spool.open_for_append(), "ab") as file:
            for chunk in output:
                if not self._log_fault:
                    try:
                        file.write(chunk)
                        file.flush()
                    except OSError as error:
                        self._log_fault = f"the log couldn't be written to its end: {error.strerror}"

    def _signal(self, name: str) -> None:
        if self._container:
            try:
                self._engine.kill(self._container, name)
            except EngineError:
                # the engine is gone: `wait` has said so, and a restarted engine has ended the container
                return

    def _take_back(self) -> None:
        """Root in the container may have written files that this user can neither read nor remove."""
        places = [here for here, _, mode in container.mounts(self._job, self._folder) if not mode]
        if not any(_others_files(place) for place in places):
            return
        config = container.chown_config(self._job, self._folder, f"{os.getuid()}:{os.getgid()}")
        made = self._engine.create(config)
        try:
            self._engine.start(made)
            if self._engine.wait(made) != 0:
                raise EngineError("chown failed")
        except EngineError as error:
            text = "files that the container wrote as root may be missing: the image has no `chown` to give them back"
            raise EngineError(text) from error
        finally:
            self._engine.remove(made)


class Progress:
    """Sums up a pull's records: the part of the layers' bytes that are here."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._said_at = 0.0
        self._text = ""

    def after(self, record: Json) -> str:
        """ ", 40 %" once the sizes are known; renewed twice a second at most."""
        detail = record.get("progressDetail") or {}
        if record.get("status") == "Downloading" and detail.get("total"):
            self._layers[record["id"]] = (int(detail.get("current", 0)), int(detail["total"]))
        elif record.get("status") in ("Download complete", "Pull complete") and record.get("id") in self._layers:
            total = self._layers[record["id"]][1]
            self._layers[record["id"]] = (total, total)
        now = time.monotonic()
        total = sum(size for _, size in self._layers.values())
        if total and now - self._said_at >= 0.5:
            self._said_at = now
            self._text = f", {100 * sum(done for done, _ in self._layers.values()) // total} %"
        return self._text


def _others_files(top: str) -> bool:
    mine = os.getuid()
    for folder, folders, files in os.walk(top):
        for name in (".", *folders, *files):
            if Path(folder, name).lstat().st_uid != mine:
                return True
    return False

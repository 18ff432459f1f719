"""Runs a job in a container of the machine's Docker engine."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from dstack_cloud.runner_bootstrap.payload import container, firewall, git, images, machine, memory
from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError, EngineUnavailable, Json
from dstack_cloud.runner_bootstrap.payload.executor import Commit, Ending, Failure, Say
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.ports import Forwards, check_free, must_be_published
from dstack_cloud.runner_bootstrap.payload.pump import Pump
from dstack_cloud.runner_bootstrap.payload.spool import Spool

LAST_BYTES_SECONDS = 10.0
# an engine that is restarted, or that starts with the machine, answers within this
RETURN_SECONDS = 60.0
# how a container ends that was ended together with its engine: SIGTERM, SIGKILL, or found dead when the engine came back
ENGINE_ENDS = (143, 137, 255)


class DockerExecutor:
    def __init__(
        self, folder: Folder, job: Job, spool: Spool, own_machine: Machine, engine: Engine | None = None
    ) -> None:
        self._folder = folder
        self._job = job
        self._spool = spool
        self._machine = own_machine
        self._engine = engine or Engine()
        self.image = job.image
        self.container = ""
        self._ended = threading.Event()
        self._given_up = threading.Event()
        self._pump: Pump | None = None
        self._warnings: list[str] = []
        self._forwards: Forwards | None = None

    def prepare(self, say: Say) -> None:
        """The image, pulled only where the engine doesn't have it."""
        images.fetch(self._engine, self._job, say)
        if self._machine.own and not must_be_published() and (trouble := firewall.close_metadata()):
            self._warnings.append(f"the container can reach the machine's metadata service: {trouble}")

    def start(self, commit: Commit) -> None:
        if not (self._folder.work / self._job.working_dir).is_dir():
            raise Failure("start", f"working_dir {self._job.working_dir} isn't in the source")
        try:
            self.create()
            self._attach()
            commit({"container": self.container, "pump": self._pump.pid if self._pump else 0, "boot": machine.boot()})
            self._start()
            self._lead_ports()
        except EngineError as error:
            raise Failure("start", f"the container couldn't be started: {error.message}") from error

    def create(self) -> None:
        """The container, if it isn't there; what is changed in it before it starts is there for the job. Raises EngineError, Failure."""
        if self.container:
            return
        user = self._image_user()
        self._make_places(user)
        self._take_ports()
        self.container = self._engine.create(self._config(user))

    def discard(self) -> None:
        """Instead of starting it: the job gets a new one. Raises EngineError."""
        made, self.container = self.container, ""
        self._engine.remove(made)

    def _start(self) -> None:
        """On the machine's network a container is closed off from the metadata service as soon as it is there."""
        if self._on_hosts_network():
            firewall.HostsNetwork().shut()
        try:
            self._engine.start(self.container)
        finally:
            self._close_off()

    def _on_hosts_network(self) -> bool:
        return not self._job.alone and self._machine.own and not must_be_published()

    def _close_off(self) -> None:
        if not self._on_hosts_network():
            return
        gate = firewall.HostsNetwork()
        try:
            found = self._engine.inspect(self.container) or {}
            trouble = gate.close(int(found.get("State", {}).get("Pid", 0)))
        finally:
            gate.open()
        # one that has ended meanwhile has no control group to be known by, and reaches nothing
        if trouble and self._state().get("Running"):
            self._warnings.append(f"the container can reach the machine's metadata service: {trouble}")

    def adopt(self, found: dict[str, Any]) -> None:
        """The container goes on without a runner; its output is in the log up to here, for the pump went on too."""
        self.container = str(found["container"])
        self._pump = Pump(int(found["pump"]))
        try:
            self._engine.wait_available(RETURN_SECONDS, self._given_up)
            state = self._state()
            if found.get("boot") != machine.boot():
                # as a machine that is taken back: what it had saved is still here, and the job goes on from that
                raise Failure("interrupted", "the machine was restarted while the job ran")
            if state.get("Status") == "created":
                raise Failure("runner", "the runner was restarted while it started the job, and the job was lost")
            if state.get("Running"):
                self._close_off()
                self._take_ports()
                self._lead_ports()
                self._go_on_reading()
        except EngineError as error:
            raise Failure("runner", f"the runner was restarted, and the job was lost: {error.message}") from error

    def wait(self) -> Ending:
        try:
            return self._wait()
        except EngineError as error:
            return Ending(None, "runner", f"the Docker engine was lost while the job ran: {error.message}")
        finally:
            self._ended.set()

    def terminate(self) -> None:
        self._signal("SIGTERM")

    def wait_gone(self, seconds: float) -> bool:
        return not self.container or self._ended.wait(seconds)

    def kill(self) -> None:
        self._given_up.set()
        self._signal("SIGKILL")

    def clean(self) -> list[str]:
        """Waits for the log's last bytes, removes the container, and takes its files back from root."""
        if self._forwards is not None:
            self._forwards.close()
        self._take_last_bytes()
        try:
            self.remove_all()
            if os.getuid() != 0:
                self._take_back()
        except EngineError as error:
            self._warnings.append(f"after the job: {error.message}")
        return self._warnings

    def remove_all(self) -> None:
        """Every container of this attempt, also those that an earlier runner made."""
        for found in self._engine.containers({container.ATTEMPT_LABEL: self._job.attempt}):
            self._engine.remove(found["Id"])

    # -- starting ----------------------------------------------------------------------------------------------------

    def _config(self, user: str) -> Json:
        publish = self._forwards is None and self._job.alone
        job, devices = self._job._replace(image=self.image), self._folder.gpu_devices()
        return container.config(job, self._folder, user, publish=publish, devices=devices)

    def _mounts(self) -> list[container.Mount]:
        return container.mounts(self._job, self._folder)

    def _image_user(self) -> str:
        image = self._engine.image(self.image) or {}
        return str((image.get("Config") or {}).get("User") or "root")

    def _make_places(self, user: str) -> None:
        """What is mounted must exist, or the engine makes it as root's; and be open to an image's own user."""
        if self._job.ca_bundle:
            self._folder.ca_bundle.write_text(self._job.ca_bundle)
            self._folder.ca_bundle.chmod(0o644)
        git.write(self._job.git, self._folder.git, container.GIT_INSIDE, shared=not container.is_root(user))
        for here, _, mode in self._mounts():
            if not mode:
                Path(here).mkdir(parents=True, exist_ok=True)
                if not container.is_root(user):
                    # nobody else gets this far: the folder around it is private
                    _open_to_all(here)

    def _take_ports(self) -> None:
        """On the machine's own network a program has its ports itself."""
        if not self._job.alone or self._forwards is not None:
            return
        if must_be_published():
            if not self.container:
                check_free(self._job.ports)
        elif self._job.ports:
            self._forwards = Forwards(self._job.ports)

    def _lead_ports(self) -> None:
        if self._forwards is not None:
            found = self._engine.inspect(self.container) or {}
            address = str(found.get("NetworkSettings", {}).get("IPAddress", ""))
            self._forwards.lead(found.get("State", {}).get("Pid", 0), address, f"DSTACK_ATTEMPT={self._job.attempt}")

    # -- the log -----------------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        source, early = self._open_output()
        log = self._spool.open_for_append()
        try:
            self._pump = Pump.start("framed", source, log, early=early, secrets=self._secrets())
        finally:
            os.close(source)
            os.close(log)

    def _open_output(self) -> tuple[int, bytes]:
        return self._engine.attach(self.container)

    def _go_on_reading(self) -> None:
        """Where what read the output has ended while the container goes on; what was written in between is nowhere."""
        if self._pump is None or self._pump.ended(0):
            self._attach()
            self._warnings.append("some of the job's output may be missing: nothing read it for a while")

    def _secrets(self) -> list[str]:
        """A restarted runner knows only their names, and the container has them in its environment."""
        if all(self._job.secrets.values()):
            return self._job.masked()
        found = (self._engine.inspect(self.container) or {}).get("Config") or {}
        pairs = [text.partition("=") for text in found.get("Env") or ()]
        return [value for name, _, value in pairs if name in self._job.secrets]

    def _take_last_bytes(self) -> None:
        if self._pump is None:
            return
        if self._ended.is_set() and not self._pump.ended(LAST_BYTES_SECONDS):
            self._warnings.append("the end of the container's output didn't come: the log may lack its last lines")
        if self._pump.failed:
            self._warnings.append("the log couldn't be written to its end: is the disk full?")

    # -- watching ----------------------------------------------------------------------------------------------------

    def _wait(self) -> Ending:
        """Also while the engine is restarted: it may let its containers go on meanwhile (its live-restore). Raises EngineError."""
        engine_ended = False
        while True:
            try:
                code = self._engine.wait(self.container)
                state = self._state()
                break
            except EngineUnavailable:
                engine_ended = True
                self._engine.wait_available(RETURN_SECONDS, self._given_up)
                if self._state().get("Running"):
                    self._go_on_reading()
        if state.get("OOMKilled"):
            return memory.over_limit(code, self._job.memory_limit)
        if engine_ended and code in ENGINE_ENDS:
            return Ending(code, "runner", "the Docker engine ended while the job ran, and the job with it")
        return Ending(code)

    def _state(self) -> Json:
        """Raises EngineError."""
        found = self._engine.inspect(self.container)
        if found is None:
            raise EngineError("its container was removed")
        state: Json = found["State"]
        return state

    def _signal(self, name: str) -> None:
        if self.container:
            try:
                self._engine.kill(self.container, name)
            except EngineError:
                # the engine is gone: `wait` has said so, and a restarted engine has ended the container
                return

    # -- after the job -----------------------------------------------------------------------------------------------

    def _take_back(self) -> None:
        """Root in the container may have written files that this user can neither read nor remove."""
        places = [here for here, _, mode in self._mounts() if not mode]
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


def _open_to_all(top: str) -> None:
    """Also what was restored, which an earlier attempt's user wrote, belongs to this user here."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o777)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o666)


def _others_files(top: str) -> bool:
    mine = os.getuid()
    for folder, folders, files in os.walk(top):
        for name in (".", *folders, *files):
            if Path(folder, name).lstat().st_uid != mine:
                return True
    return False

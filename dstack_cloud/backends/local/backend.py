"""This computer: jobs in its Docker engine, or as process groups where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dstack_cloud import errors
from dstack_cloud.backends.base import Capabilities, Finding, Health, KeptSetup, Launch, Observed, Owned
from dstack_cloud.backends.local.client import RunnerProcess, runners, setups_folder
from dstack_cloud.backends.local.config import LocalConfig, Mode
from dstack_cloud.backends.local.resources import setups
from dstack_cloud.backends.local.resources.machine import this_machine
from dstack_cloud.domain.resources import Machine, Offer, Requirements, describe, fits
from dstack_cloud.runner_bootstrap.payload.container import ATTEMPT_LABEL, PACKING_LABEL
from dstack_cloud.runner_bootstrap.payload.engine import Engine
from dstack_cloud.runner_bootstrap.payload.interpreter import find_interpreter

NO_ENGINE = "no Docker engine answers on this computer"
INSTALL_ENGINE = "install Docker Engine (https://docs.docker.com/engine/install) and start it, or use another backend"


class LocalBackend:
    """`refs` are the launches' keys."""

    name = "local"

    def __init__(self, config: LocalConfig, home: Path, default_image: str) -> None:
        self._config = config
        self._home = home
        self._default_image = default_image
        self._engine = Engine()

    @property
    def capabilities(self) -> Capabilities:
        image = self._image_for(None)
        return Capabilities(containers=self._containers(), default_image=image, remote=False, same_network=True)

    def _containers(self) -> bool:
        return self._config.mode is not Mode.PROCESS and self._engine.available()

    def _image_for(self, python: str | None) -> str | None:
        """The default image where jobs without an image run in Docker here; None: they run as process groups."""
        if not self._containers():
            return None
        image = self._default_image.replace("{python}", python or "3.11")
        if self._config.mode is Mode.DOCKER or self._engine.image_exists(image):
            return self._default_image
        return None

    def validate(self) -> list[Finding]:
        return [self._ways(), Finding(True, describe(this_machine(self._folder())))]

    def _ways(self) -> Finding:
        if self._containers():
            return Finding(True, "a Docker engine answers")
        if self._config.mode is Mode.DOCKER:
            return Finding(False, NO_ENGINE, INSTALL_ENGINE)
        why = "Docker is switched off" if self._config.mode is Mode.PROCESS else NO_ENGINE
        return Finding(True, f"{why}: jobs run as processes of yours, and none that names an `image`")

    def _folder(self) -> Path:
        folder = self._home / "runners"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def offers(self, requirements: Requirements) -> list[Offer]:
        machine = this_machine(self._folder())
        lack = fits(machine, requirements)
        if lack:
            raise errors.InvalidConfiguration(f"this computer is too small: the workflow {lack}", "use another backend")
        if requirements.image and not self._containers():
            raise _no_docker(requirements.image, switched_off=self._config.mode is Mode.PROCESS)
        if not requirements.image and self._image_for(requirements.python) is None:
            _check_python(requirements.python)
        return [self._offer(machine)]

    def _offer(self, machine: Machine) -> Offer:
        # free disk changes by the second: an offer must compare equal to itself a moment later
        return Offer(
            backend=self.name,
            region="local",
            instance_type="this computer",
            machine=machine.model_copy(update={"disk": None}),
            price=0.0,
        )

    def create(self, launch: Launch) -> str:
        try:
            RunnerProcess(self._folder() / launch.key).start(self._home)
        except OSError as error:
            raise errors.Unavailable(f"the runner couldn't be started: {error}") from error
        return launch.key

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        return {ref: self._observe(RunnerProcess(self._folder() / ref)) for ref in refs}

    def _observe(self, runner: RunnerProcess) -> Observed:
        if runner.alive():
            return Observed(runner.key, Health.RUNNING, endpoint=f"unix:{runner.socket}")
        return Observed(runner.key, Health.GONE, detail=runner.last_words())

    def list_owned(self) -> list[Owned]:
        return [Owned(runner.key, runner.key) for runner in runners(self._home)]

    def terminate(self, refs: Sequence[str]) -> None:
        for ref in refs:
            if RunnerProcess(self._folder() / ref).end(wait=1.0):
                self._remove_containers(ref)

    def setups(self) -> list[KeptSetup]:
        return setups.list_setups(setups_folder(self._home), self._engine)

    def remove_setups(self, refs: Sequence[str]) -> None:
        setups.remove_setups(setups_folder(self._home), self._engine, refs)

    def _remove_containers(self, key: str) -> None:
        """What a runner that was killed couldn't remove itself."""
        if not self._engine.available():
            return
        for label in (ATTEMPT_LABEL, PACKING_LABEL):
            for container in self._engine.containers({label: key}):
                self._engine.remove(container["Id"])


def _no_docker(image: str, *, switched_off: bool) -> errors.InvalidConfiguration:
    needs = f"the workflow runs in a Docker image ({image}), and "
    if switched_off:
        hint = "unset DSTACK_LOCAL_MODE (or `mode` of `local` in config.yaml), then `dstack server stop`: the next starts with it"
        return errors.InvalidConfiguration(f"{needs}Docker is switched off for this backend", hint)
    return errors.InvalidConfiguration(f"{needs}{NO_ENGINE}", INSTALL_ENGINE)


def _check_python(version: str | None) -> None:
    if version is not None and find_interpreter(version) is None:
        raise errors.InvalidConfiguration(
            f"the workflow asks for Python {version}, and this computer has none",
            f"install python{version}, name an `image`, or leave `python` out",
        )

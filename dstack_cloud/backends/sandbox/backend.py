"""Throw-away machines on this computer: each is a container that boots systemd, with an engine of its own.

They behave like a cloud's (user data, SSH with a key made beforehand, no shared disk, clock or user), so that a workflow can be
rehearsed for nothing. They share this computer's kernel: not a boundary against code that you don't trust.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.backends.sandbox import offers as catalogue
from dstack_cloud.backends.sandbox.client import DockerClient, Json, as_json
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.errors import Missing, Taken
from dstack_cloud.backends.sandbox.resources import debian, machine_image, mirror, network
from dstack_cloud.backends.sandbox.resources.machine import (
    KEY_LABEL,
    OWNER_LABEL,
    Place,
    resolvers,
    seed,
    specification,
)
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, InvalidConfiguration
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

log = logging.getLogger(__name__)

PREFIX = "dstack-"
# Between a network's removal with the last machine and the next machine's start lies this many tries at most
START_TRIES = 3
# what systemd's exit means when it is a container's first process
ENDINGS = {130: "it powered itself off", 129: "it rebooted", 137: "it was killed"}
INOTIFY = "systemd couldn't start: raise fs.inotify.max_user_instances (sysctl), a machine takes about 8"


class SandboxBackend:
    """Implements `backends.base.Backend`. A machine's ref is its container's name, which is made of the launch's key."""

    name = catalogue.NAME

    def __init__(self, config: SandboxConfig, home: Path, installation: str) -> None:
        """`installation` owns what is made here; `home` is where images are spooled for the machines."""
        self._config = config
        self._client = DockerClient()
        self._installation = installation
        self.home = home
        self._spool = home / "sandbox" / "mirror"
        self._lock = threading.Lock()
        self._mirror: mirror.Mirror | None = None
        # an engine that is slow to answer must not keep a server from starting
        threading.Thread(target=self._resume_mirror, name="sandbox-mirror-start", daemon=True).start()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(containers=True, default_image=self._config.job_image, remote=True, self_termination=True)

    def validate(self) -> list[Finding]:
        try:
            version = self._client.get("/version")["Version"]
        except BackendError as wrong:
            return [Finding(False, wrong.summary, wrong.hint or "")]
        return [Finding(True, f"Docker Engine {version} answers at {self._client.path}"), self._image_finding()]

    def offers(self, requirements: Requirements) -> list[Offer]:
        return catalogue.offers(self._client, self._config, requirements)

    def create(self, launch: Launch) -> str:
        """Builds the machine's image first where the engine doesn't have it: about a minute, once."""
        ref = PREFIX + launch.key
        image = machine_image.ensure(self._client, self._config)
        for _ in range(START_TRIES):
            place = self._place(image)
            state = self._container(ref, launch, place)
            if state != "created":
                return ref
            try:
                self._client.put_archive(ref, "/", seed(launch.user_data, launch.key, ref))
                self._client.call("POST", f"/containers/{ref}/start")
            except Missing:
                continue  # the last machine went between, and the network with it
            return ref
        raise Taken(f"the sandbox's network {network.name(self._installation)} goes away while {ref} starts")

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        known = {entry["Names"][0].lstrip("/"): entry for entry in self._containers()}
        return {ref: self._observe(ref, known.get(ref)) for ref in refs}

    def list_owned(self) -> list[Owned]:
        return [
            Owned(entry["Names"][0].lstrip("/"), entry["Labels"].get(KEY_LABEL, "")) for entry in self._containers()
        ]

    def terminate(self, refs: Sequence[str]) -> None:
        for ref in refs:
            try:
                self._client.call("DELETE", f"/containers/{ref}", {"force": "1", "v": "1"})
            except Missing:
                pass
            except Taken:
                pass  # its removal is under way
        self._sweep()

    def close(self) -> None:
        """Stops the mirror; the machines stay."""
        with self._lock:
            if self._mirror is not None:
                self._mirror.close()
                self._mirror = None

    def _containers(self) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [f"{OWNER_LABEL}={self._installation}"]})
        found: list[dict[str, Any]] = self._client.get("/containers/json", {"all": "1", "filters": filters})
        return found

    def _container(self, ref: str, launch: Launch, place: Place) -> str:
        """The state of the container of that name, which is made where there is none."""
        labels = {**launch.tags, OWNER_LABEL: self._installation, KEY_LABEL: launch.key}
        try:
            spec = specification(self._config, place, ref, labels)
            self._client.call("POST", "/containers/create", {"name": ref}, as_json(spec))
        except Taken:
            pass  # this launch made it before, or another process does at this moment
        found = self._client.get(f"/containers/{ref}/json")
        if found["Config"]["Labels"].get(OWNER_LABEL) != self._installation:
            raise InvalidConfiguration(f"the container {ref} is there, but not ours", f"docker rm {ref}")
        return str(found["State"]["Status"])

    def _place(self, image: str) -> Place:
        with self._lock:
            made = network.ensure(self._client, self._config, self._installation)
            self._mirror = self._mirror or self._start_mirror(made)
            return Place(image, made.name, resolvers(), mirror.url(made, self._config.mirror_port))

    def _observe(self, ref: str, entry: dict[str, Any] | None) -> Observed:
        if entry is None:
            return Observed(ref, Health.GONE, detail="there is no such container")
        if entry["State"] == "created":
            return Observed(ref, Health.STARTING)
        if entry["State"] != "running":
            return Observed(ref, Health.GONE, detail=_ending(self._client.get(f"/containers/{ref}/json")))
        networks = entry["NetworkSettings"]["Networks"]
        address = next((each["IPAddress"] for each in networks.values() if each["IPAddress"]), "")
        if not address:
            return Observed(ref, Health.STARTING)
        return Observed(ref, Health.RUNNING, f"ssh:{LOGIN_USER}@{address}:22")

    def _sweep(self) -> None:
        """When the last machine is gone: the mirror and the network."""
        with self._lock:
            if self._containers():
                return
            if network.remove(self._client, self._installation) and self._mirror is not None:
                self._mirror.close()
                self._mirror = None

    def _resume_mirror(self) -> None:
        """Machines that outlived a restart of the server still know the mirror's address."""
        try:
            with self._lock:
                made = network.find(self._client, self._installation)
                if made is not None and self._mirror is None:
                    self._mirror = self._start_mirror(made)
        except BackendError as wrong:
            log.info("the sandbox's mirror isn't started: %s", wrong.summary)

    def _start_mirror(self, made: network.Network) -> mirror.Mirror | None:
        return mirror.start(self._client, made, self._config.mirror_port, self._spool)

    def _image_finding(self) -> Finding:
        image = machine_image.name(self._config)
        if self._client.image(image) is not None:
            return Finding(True, f"the machine's image {image} is built")
        missing = debian.available()
        if not missing or self._config.machine_image or self._client.image(self._config.base_image) is not None:
            return Finding(True, f"the machine's image {image} will be built or pulled at the first launch")
        return Finding(True, f"the machine's image will be built from {self._config.base_image}, which must be pulled")


def _ending(container: Json) -> str:
    state = container["State"]
    if state["OOMKilled"]:
        return "it ran out of memory"
    if state["ExitCode"] == 255:
        return INOTIFY
    return ENDINGS.get(state["ExitCode"], state["Error"] or f"its first process ended with {state['ExitCode']}")

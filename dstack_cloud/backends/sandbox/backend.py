"""Throw-away machines on this computer: each is a container that boots systemd, with an engine of its own.

They behave like a cloud's (user data, SSH with a key made beforehand, no shared disk, clock or user), so that a workflow can be
rehearsed for nothing. They share this computer's kernel: not a boundary against code that you don't trust.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base import Capabilities, Fault, Finding, Health, Launch, Observed, Owned
from dstack_cloud.backends.sandbox import offers as catalogue
from dstack_cloud.backends.sandbox.client import DockerClient, Json, as_json
from dstack_cloud.backends.sandbox.config import NAME, SandboxConfig
from dstack_cloud.backends.sandbox.errors import Missing, Taken
from dstack_cloud.backends.sandbox.resources import debian, faults, machine_image, mirror, network
from dstack_cloud.backends.sandbox.resources.gateway import Gateway
from dstack_cloud.backends.sandbox.resources.machine import (
    KEY_LABEL,
    OWNER_LABEL,
    Place,
    resolvers,
    seed,
    specification,
)
from dstack_cloud.backends.sandbox.resources.notices import Notice, Notices, Timetable
from dstack_cloud.backends.sandbox.resources.residents import Residents
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, InvalidConfiguration, NotFound, QuotaExceeded, Unavailable
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

log = logging.getLogger(__name__)

PREFIX = "dstack-"
# Between a network's removal with the last machine and the next machine's start lies this many tries at most
START_TRIES = 3
QUOTA_CODE = "VcpuLimitExceeded"
# what systemd's exit means when it is a container's first process
ENDINGS = {130: "it powered itself off", 129: "it rebooted", 137: "it was killed"}
TAKEN_BACK = "it was taken back, as it had been announced"
INOTIFY = "systemd couldn't start: raise fs.inotify.max_user_instances (sysctl), a machine takes about 8"


class SandboxBackend:
    """Implements `backends.base.Backend` and `Breakable`. A machine's ref is its container's name, which is made of the
    launch's key."""

    name = NAME

    def __init__(self, config: SandboxConfig, home: Path, installation: str) -> None:
        """`installation` owns what is made here; below `home` images are spooled for the machines, and it is kept which of
        them were told that they will end."""
        self._config = config
        self._client = DockerClient()
        self._installation = installation
        self.home = home
        self._making: set[str] = set()
        self._notices = Notices(home / "sandbox" / "notices")
        self._timetable = Timetable(self._notices, lambda ref: faults.kill(self._client, ref))
        self.residents = Residents(self._containers, self._notices)
        self._gateway = Gateway(self._client, config, home / "sandbox" / "mirror", self.residents.find)
        self._gateway.resume(installation)
        self._timetable.look()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            containers=True,
            default_image=self._config.job_image,
            remote=True,
            spot=True,
            notice="aws",
            self_termination=True,
            same_network=True,
            private_network=True,
        )

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
        self._refuse(ref, launch.offer)
        image = machine_image.ensure(self._client, self._config)
        # as long as it has no container, nothing else tells that its network is needed
        self._making.add(ref)
        try:
            return self._make(ref, launch, image)
        finally:
            self._making.discard(ref)

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        known = {entry["Names"][0].lstrip("/"): entry for entry in self._looked_at()}
        return {ref: self._observe(ref, known.get(ref)) for ref in refs}

    def list_owned(self) -> list[Owned]:
        return [Owned(entry["Names"][0].lstrip("/"), entry["Labels"].get(KEY_LABEL, "")) for entry in self._looked_at()]

    def terminate(self, refs: Sequence[str]) -> None:
        for ref in refs:
            self._remove(ref)
            self._notices.forget(ref)
            self.residents.forget(ref)
        self._gateway.leave(self._installation, self._needs_network)

    def inflict(self, ref: str, fault: Fault, value: float = 0.0) -> None:
        """See `backends.base.Breakable`. An interruption that was announced comes also when the server was away meanwhile."""
        if not self._alive(ref):
            raise NotFound(f"the sandbox has no running machine {ref}", "it has ended")
        actions = {
            Fault.KILL: faults.kill,
            Fault.PAUSE: faults.pause,
            Fault.RESUME: faults.resume,
            Fault.CUT_NETWORK: faults.cut_network,
            Fault.RESTORE_NETWORK: faults.restore_network,
        }
        if fault is Fault.INTERRUPT:
            now = time.time()
            self._notices.set(ref, Notice(now, now + (value or self._config.notice)))
            self._timetable.look()
        elif fault is Fault.SLOW_NETWORK:
            faults.slow_network(self._client, ref, value, machine_image.ensure(self._client, self._config))
        else:
            actions[fault](self._client, ref)

    def close(self) -> None:
        """Stops what is served to the machines; they stay."""
        self._timetable.close()
        self._gateway.close()

    def _make(self, ref: str, launch: Launch, image: str) -> str:
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
            self._announce(ref, launch.offer)
            return ref
        raise Taken(f"the sandbox's network {network.name(self._installation)} goes away while {ref} starts")

    def _alive(self, ref: str) -> bool:
        known = {entry["Names"][0].lstrip("/"): entry["State"] for entry in self._containers()}
        return known.get(ref) in ("running", "paused")

    def _refuse(self, ref: str, offer: Offer) -> None:
        """What the configuration lets go wrong with a launch; one that was accepted before stays so."""
        others = {entry["Names"][0].lstrip("/") for entry in self._containers()}
        if ref in others:
            return
        catalogue.refuse(self._config, offer)
        quota = self._config.quota
        if quota is not None and len(others) >= quota:
            text = f"there are {len(others)} sandbox machines, and the quota is {quota}"
            raise QuotaExceeded(text, "set a larger `quota` for it", cloud_code=QUOTA_CODE, cloud_message=text)

    def _announce(self, ref: str, offer: Offer) -> None:
        if offer.spot and self._config.interrupt_after is not None:
            told_at = time.time() + self._config.interrupt_after
            self._notices.set(ref, Notice(told_at, told_at + self._config.notice))
            self._timetable.look()

    def _looked_at(self) -> list[dict[str, Any]]:
        """All containers. A server that was killed between the last machine's end and the network's left that behind."""
        found = self._containers()
        if not found:
            self._gateway.leave(self._installation, self._needs_network)
        return found

    def _needs_network(self) -> bool:
        return bool(self._making or self._containers())

    def _containers(self) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [f"{OWNER_LABEL}={self._installation}"]})
        found: list[dict[str, Any]] = self._client.get("/containers/json", {"all": "1", "filters": filters})
        return found

    def _remove(self, ref: str) -> None:
        try:
            self._client.call("DELETE", f"/containers/{ref}", {"force": "1", "v": "1"})
        except Missing:
            pass
        except Taken:
            pass  # its removal is under way

    def _container(self, ref: str, launch: Launch, place: Place) -> str:
        """The state of the container of that name, which is made where there is none. One that never started and was told
        of a network that is gone is made anew."""
        labels = {**launch.tags, OWNER_LABEL: self._installation, KEY_LABEL: launch.key}
        spec = specification(self._config, place, ref, labels, launch.offer)
        for _ in range(START_TRIES):
            try:
                self._client.call("POST", "/containers/create", {"name": ref}, as_json(spec))
            except Taken:
                pass  # this launch made it before, or another process does at this moment
            try:
                found = self._client.get(f"/containers/{ref}/json")
            except Missing as missing:
                # the name is taken while the engine still works on a call whose caller is gone: a server that was killed
                raise Unavailable(f"the engine makes {ref} at this moment") from missing
            if found["Config"]["Labels"].get(OWNER_LABEL) != self._installation:
                raise InvalidConfiguration(f"the container {ref} is there, but not ours", f"docker rm {ref}")
            state = str(found["State"]["Status"])
            if state != "created" or set(spec["Env"]) <= set(found["Config"]["Env"]):
                return state
            self._remove(ref)
        raise Taken(f"the container {ref} was made for another network and can't be removed")

    def _place(self, image: str) -> Place:
        made = self._gateway.open(self._installation)
        metadata = f"{made.gateway}:{self._config.metadata_port}"
        return Place(image, made.name, resolvers(), mirror.url(made, self._config.mirror_port), metadata)

    def _observe(self, ref: str, entry: dict[str, Any] | None) -> Observed:
        if entry is None:
            return Observed(ref, Health.GONE, detail="there is no such container")
        if entry["State"] == "created":
            return Observed(ref, Health.STARTING)
        if entry["State"] == "removing":
            # its disk is still there, and its network can't go before it has
            return Observed(ref, Health.RUNNING)
        if entry["State"] not in ("running", "paused"):
            notice = self._notices.get(ref)
            announced = notice is not None and notice.over
            detail = TAKEN_BACK if announced else _ending(self._client.get(f"/containers/{ref}/json"))
            return Observed(ref, Health.GONE, detail=detail)
        networks = entry["NetworkSettings"]["Networks"]
        address = next((each["IPAddress"] for each in networks.values() if each["IPAddress"]), "")
        if not address:
            return Observed(ref, Health.STARTING)
        return Observed(ref, Health.RUNNING, f"ssh:{LOGIN_USER}@{address}:22", address=address)

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

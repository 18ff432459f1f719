"""What Azure does over a while: a machine is made by one request, and the operation is followed until it ends well, or is told of
as what it was. Where each is asked after is kept on disk, so that a server that starts anew goes on asking.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import EXISTS, failure, is_missing, translated
from dstack_cloud.backends.azure.resources.groups import Groups
from dstack_cloud.backends.azure.resources.machine import DELETING, RUNNING, failure_of, power_of, state_of
from dstack_cloud.errors import BackendError, InvalidConfiguration, NoCapacity, Throttled, Unavailable

log = logging.getLogger(__name__)

Json = dict[str, Any]

# a lack of capacity is told within seconds; a machine that is still being made after these is looked at as any other
FOLLOW_SECONDS = 20.0
UNCLEAR = (Unavailable, Throttled)
UNDER_WAY = ("inprogress", "creating", "updating", "accepted", "running", "pending", "")


class Operations:
    """`folder` keeps what is under way; each is followed for `seconds` at most. Threads share it."""

    def __init__(self, client: AzureClient, groups: Groups, folder: Path, seconds: float = FOLLOW_SECONDS) -> None:
        self._client, self._groups, self._seconds = client, groups, seconds
        self._begun = Begun(folder)

    def make(self, region: str, name: str, body: Json) -> None:
        """Returns when the machine is there, or still being made after a while. Asked again, also by a server that was started
        anew, it goes on following what was begun. Raises BackendError; then no machine is left of it, but after Unavailable and
        Throttled."""
        where = _where(body)
        try:
            url = self._client.begin_machine(self._groups.name(region), name, body, where)
            self._begun.remember(name, url)
        except BackendError as refused:
            if refused.cloud_code != EXISTS:
                self._clear(region, name, refused)
                raise
            url = self._begun.recall(name)
        try:
            self._follow(region, name, url, where)
        except BackendError as failed:
            self._clear(region, name, failed)
            raise

    def exists(self, region: str, name: str) -> bool:
        """Whether Azure has a machine of that name. Raises BackendError."""
        return self._machine(region, name, f"{region} {name}") is not None

    def is_known(self, name: str) -> bool:
        """Whether a machine of that name is being made, as far as anybody here remembers."""
        return bool(self._begun.recall(name))

    def forget(self, name: str) -> None:
        self._begun.forget(name)

    def _follow(self, region: str, name: str, url: str, where: str) -> None:
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            state, told = self._told(region, name, url, where)
            if state == "succeeded":
                self._begun.forget(name)
                return
            if state not in UNDER_WAY:
                raise self._failed(region, name, told, where)
            if self._runs(region, name, where):
                return
            time.sleep(self._client.poll_seconds)

    def _told(self, region: str, name: str, url: str, where: str) -> tuple[str, Json]:
        """(its state, what went wrong): of the operation, or of the machine itself where no operation is known any more."""
        if url and self._client.is_asked(url):
            try:
                found = self._client.follow(url, where)
                return str(found.get("status", "")).lower(), found.get("error") or {}
            except BackendError as refused:
                if not is_missing(refused):
                    raise
        machine = self._machine(region, name, where)
        if machine is None:
            return "gone", {}
        return state_of(machine), failure_of(machine)

    def _machine(self, region: str, name: str, where: str) -> Json | None:
        try:
            with translated(where):
                found = self._client.compute().virtual_machines.get(
                    self._groups.name(region), name, expand="instanceView"
                )
        except BackendError as refused:
            if is_missing(refused):
                return None
            raise
        return found.as_dict()

    def _runs(self, region: str, name: str, where: str) -> bool:
        """Whether it got a place and was started: the operation goes on until the machine has set itself up."""
        return power_of(self._machine(region, name, where) or {}) == RUNNING

    def _failed(self, region: str, name: str, told: Json, where: str) -> BackendError:
        """What was evicted while it was made isn't there any more, or is going, whatever the operation calls it."""
        failed = failure(told, where)
        words = {"cloud_code": failed.cloud_code or "Failed", "cloud_message": failed.cloud_message}
        if not isinstance(failed, (InvalidConfiguration, *UNCLEAR)):
            return failed
        found = self._machine(region, name, where)
        if found is None or state_of(found) == DELETING:
            return NoCapacity(f"the machine was taken back while it was made ({where})", **words)
        if not told:
            return NoCapacity(f"the machine couldn't be made, and Azure doesn't say why ({where})", **words)
        if isinstance(failed, UNCLEAR):
            # it ended: asked again under the same name, it would say the same for ever
            return NoCapacity(failed.summary, **words)
        return failed

    def _clear(self, region: str, name: str, why: BackendError) -> None:
        """What couldn't be made may stay as a "Failed" machine, with its disk and its interface. After an unclear answer it may
        come to life yet: who asks again finds it."""
        if isinstance(why, UNCLEAR):
            return
        self._begun.forget(name)
        try:
            with translated(region):
                self._client.compute().virtual_machines.begin_delete(self._groups.name(region), name, polling=False)
        except BackendError as refused:
            # it carries the owner's tag: whoever lists what is left sees it
            log.info("what is left of %s can't be deleted now: %s", name, refused.summary)


class Begun:
    """Where the operation that makes a machine is asked after, by the machine's name. Threads share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, name: str, url: str) -> None:
        """A state folder that is full must not stop a launch: then the machine itself is asked after."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_text(url)
        except OSError as wrong:
            log.info("%s can't be kept: %s", self._folder / name, wrong)

    def recall(self, name: str) -> str:
        """ "" where none is known."""
        try:
            return (self._folder / name).read_text()
        except OSError:
            return ""

    def forget(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as wrong:
            log.info("%s stays: %s", self._folder / name, wrong)


def _where(body: Json) -> str:
    properties = body["properties"]
    place = "-".join((body["location"], *body.get("zones", ())))
    spot = " spot" if properties.get("priority") == "Spot" else ""
    return f"{place} {properties['hardwareProfile']['vmSize']}{spot}"
